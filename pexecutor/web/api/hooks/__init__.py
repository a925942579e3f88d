"""Inbound hooks: deliveries of other systems, each of which submits a task that the operator declared.

Here belong the checks of a delivery, the filling of the task's slots, and the reply. How a task is submitted does not
belong here.
"""
