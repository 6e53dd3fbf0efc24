import { render } from "preact";
import "uplot/dist/uPlot.min.css";
import "./style/base.css";
import "./style/charts.css";
import "./style/lists.css";
import "./style/trace.css";
import { App } from "./layout/App";
import { followClock } from "./state/data";
import { followHistory } from "./state/place";

followHistory();
followClock();
const root = document.getElementById("page");
if (root === null) throw new Error("index.html has no element #page");
render(<App />, root);
