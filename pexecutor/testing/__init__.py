"""The pytest plugin: the fixture ``pexecutor_server``. Loading it imports neither the client nor an HTTP library."""
