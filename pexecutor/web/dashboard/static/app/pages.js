// The table of pages. A new page is one module in `pages/` and one row here.

import { statistics } from "../api/server.js";

const store = (member) => () => statistics.value?.store[member];
const inFlight = () => statistics.value && statistics.value.store.pending + statistics.value.store.scheduled + statistics.value.store.running;

/**
 * The pages, in the order of the sidebar.
 *
 * `path` is the first segment of its address; `load` loads its module, whose default export is the view, and `item`
 * that of the page of one thing. `count` is the number beside its name. `minor` pages are behind "More" on a phone.
 */
export const PAGES = [
  { path: "", name: "Overview", icon: "overview", load: () => import("../pages/overview.js") },
  {
    path: "tasks",
    name: "Tasks",
    icon: "tasks",
    count: inFlight,
    load: () => import("../pages/tasks.js"),
    item: () => import("../pages/task.js"),
  },
  {
    path: "schedules",
    name: "Schedules",
    icon: "schedules",
    count: store("schedules"),
    load: () => import("../pages/schedules.js"),
    item: () => import("../pages/schedule.js"),
  },
  {
    path: "handlers",
    name: "Handlers",
    icon: "handlers",
    minor: true,
    load: () => import("../pages/handlers.js"),
    item: () => import("../pages/handler.js"),
  },
  { path: "nodes", name: "Nodes", icon: "nodes", minor: true, load: () => import("../pages/nodes.js"), item: () => import("../pages/node.js") },
  { path: "events", name: "Events", icon: "events", minor: true, load: () => import("../pages/events.js") },
  { path: "settings", name: "Settings", icon: "settings", minor: true, load: () => import("../pages/settings.js") },
];

/** The row of a page, or undefined. */
export const pageOf = (path) => PAGES.find((page) => page.path === path);

export { store };
