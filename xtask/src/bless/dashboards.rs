//! The Grafana dashboards under `dashboards/grafana`, from a table of panels (`panels.rs`): what a panel asks is written
//! once and readable, and the forms of Grafana's JSON around it are the same for all.

mod panels;

use std::fs;

use anyhow::Context as _;
use serde_json::{Value, json};

use crate::place::Place;

/// Where they lie, from the root of the checkout.
const HOME: &str = "dashboards/grafana";

/// Columns of Grafana's grid.
const COLUMNS: u64 = 24;

/// The schema of Grafana 11.6, against which `tests/dashboards/check.py` holds the result.
const SCHEMA_VERSION: u64 = 41;

const ALL: &[Dashboard] = &[
    Dashboard {
        name: "overview",
        title: "tokenhound: overview",
        what: "For the SOC: what was found, where, and who reads tokens.",
        rows: panels::OVERVIEW,
    },
    Dashboard {
        name: "tokens",
        title: "tokenhound: tokens",
        what: "What lies in stores, how old it is, where it was copied to, and how long it was exposed.",
        rows: panels::TOKENS,
    },
    Dashboard {
        name: "sensors",
        title: "tokenhound: sensors",
        what: "Whether the agents see all they should, how fast, and whether findings leave the machine.",
        rows: panels::SENSORS,
    },
];

/// A dashboard.
struct Dashboard {
    /// File name and end of the uid.
    name: &'static str,
    title: &'static str,
    what: &'static str,
    rows: &'static [Row],
}

/// Panels under a heading, from left to right.
struct Row {
    title: &'static str,
    panels: &'static [Panel],
}

/// One panel. In a query `@` stands for the labels that choose the agents.
struct Panel {
    title: &'static str,
    what: &'static str,
    form: Form,
    /// Width in columns.
    width: u64,
    unit: &'static str,
    /// PromQL, and what the legend says (`{{label}}`).
    queries: &'static [(&'static str, &'static str)],
}

const fn panel(
    form: Form,
    width: u64,
    unit: &'static str,
    title: &'static str,
    what: &'static str,
    queries: &'static [(&'static str, &'static str)],
) -> Panel {
    Panel { title, what, form, width, unit, queries }
}

/// How it is shown.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Form {
    /// One number.
    Number,
    /// One number that should be zero.
    Trouble,
    Lines,
    /// Stacked bars over time.
    Bars,
    /// A bar for each series, now.
    Ranking,
    /// A row for each series, now; several queries become columns.
    Table,
}

impl Form {
    const fn kind(self) -> &'static str {
        match self {
            Self::Number | Self::Trouble => "stat",
            Self::Lines | Self::Bars => "timeseries",
            Self::Ranking => "bargauge",
            Self::Table => "table",
        }
    }

    const fn height(self) -> u64 {
        match self {
            Self::Number | Self::Trouble => 4,
            _ => 8,
        }
    }

    const fn over_time(self) -> bool {
        matches!(self, Self::Lines | Self::Bars)
    }

    fn options(self) -> Value {
        let last = json!({"calcs": ["lastNotNull"], "fields": "", "values": false});
        match self {
            Self::Number | Self::Trouble => {
                json!({"colorMode": "value", "graphMode": "none", "textMode": "value", "reduceOptions": last})
            }
            Self::Lines | Self::Bars => json!({
                "legend": {"displayMode": "list", "placement": "bottom", "showLegend": true, "calcs": []},
                "tooltip": {"mode": "multi", "sort": "desc"},
            }),
            Self::Ranking => json!({"displayMode": "basic", "orientation": "horizontal", "reduceOptions": last}),
            Self::Table => json!({"showHeader": true}),
        }
    }

    fn custom(self) -> Value {
        match self {
            Self::Lines => json!({"drawStyle": "line", "lineWidth": 1, "fillOpacity": 8, "showPoints": "never"}),
            Self::Bars => json!({
                "drawStyle": "bars", "lineWidth": 0, "fillOpacity": 80, "showPoints": "never",
                "stacking": {"mode": "normal", "group": "A"},
            }),
            _ => json!({}),
        }
    }
}

/// Writes all of them.
///
/// # Errors
/// When one cannot be written.
pub(super) fn bless(place: &Place) -> anyhow::Result<()> {
    for dashboard in ALL {
        let path = place.root.join(HOME).join(format!("{}.json", dashboard.name));
        fs::write(&path, text(dashboard)?).with_context(|| format!("cannot write {}", path.display()))?;
    }
    Ok(())
}

fn text(dashboard: &Dashboard) -> anyhow::Result<String> {
    let mut text = serde_json::to_string_pretty(&json(dashboard)).context("cannot make JSON")?;
    text.push('\n');
    Ok(text)
}

fn json(dashboard: &Dashboard) -> Value {
    let (mut panels, mut top, mut id) = (Vec::new(), 0, 0);
    for row in dashboard.rows {
        id += 1;
        panels.push(json!({
            "type": "row", "id": id, "title": row.title, "collapsed": false, "panels": [],
            "gridPos": {"h": 1, "w": COLUMNS, "x": 0, "y": top},
        }));
        top += 1;
        let (mut left, mut height) = (0, 0);
        for panel in row.panels {
            if left + panel.width > COLUMNS {
                (left, top, height) = (0, top + height, 0);
            }
            id += 1;
            panels.push(panel_json(panel, id, left, top));
            left += panel.width;
            height = height.max(panel.form.height());
        }
        top += height;
    }
    json!({
        "uid": format!("tokenhound-{}", dashboard.name),
        "title": dashboard.title,
        "description": dashboard.what,
        "tags": ["tokenhound"],
        "editable": true,
        "graphTooltip": 1,
        "schemaVersion": SCHEMA_VERSION,
        "time": {"from": "now-24h", "to": "now"},
        "refresh": "1m",
        "links": [{
            "type": "dashboards", "title": "tokenhound", "tags": ["tokenhound"], "asDropdown": false, "icon": "external link",
            "includeVars": true, "keepTime": true, "targetBlank": false, "tooltip": "",
        }],
        "annotations": {"list": []},
        "templating": {"list": [
            {"type": "datasource", "name": "datasource", "label": "Prometheus", "query": "prometheus"},
            {
                "type": "query", "name": "instance", "label": "Machine", "multi": true, "includeAll": true,
                "allValue": ".*", "refresh": 2, "sort": 1, "datasource": datasource(),
                "query": {"query": "label_values(tokenhound_build_info, instance)", "refId": "instance"},
            },
        ]},
        "panels": panels,
    })
}

fn datasource() -> Value {
    json!({"type": "prometheus", "uid": "${datasource}"})
}

fn panel_json(panel: &Panel, id: u64, left: u64, top: u64) -> Value {
    let targets: Vec<Value> =
        panel.queries.iter().zip('A'..).map(|(query, letter)| target(panel, query, letter)).collect();
    let steps = if panel.form == Form::Trouble {
        json!([{"value": null, "color": "green"}, {"value": 1, "color": "red"}])
    } else {
        json!([{"value": null, "color": "blue"}])
    };
    let mut made = json!({
        "type": panel.form.kind(), "id": id, "title": panel.title, "description": panel.what,
        "gridPos": {"h": panel.form.height(), "w": panel.width, "x": left, "y": top},
        "datasource": datasource(),
        "targets": targets,
        "options": panel.form.options(),
        "fieldConfig": {
            "defaults": {
                "unit": panel.unit, "custom": panel.form.custom(), "noValue": "none",
                "color": {"mode": if panel.form.over_time() { "palette-classic" } else { "thresholds" }},
                "thresholds": {"mode": "absolute", "steps": steps},
            },
            "overrides": overrides(panel),
        },
    });
    if panel.form == Form::Table {
        made["transformations"] = json!([
            {"id": "merge", "options": {}},
            {"id": "organize", "options": {"excludeByName": {"Time": true}, "renameByName": columns(panel)}},
        ]);
    }
    made
}

fn target(panel: &Panel, (expr, legend): &(&str, &str), letter: char) -> Value {
    let mut made = json!({
        "refId": letter.to_string(),
        "expr": expr.replace('@', r#"job="tokenhound",instance=~"$instance""#),
        "datasource": datasource(),
        "editorMode": "code",
        "range": panel.form.over_time(),
        "instant": !panel.form.over_time(),
        "format": if panel.form == Form::Table { "table" } else { "time_series" },
    });
    if panel.form != Form::Table {
        made["legendFormat"] = json!(legend);
    }
    made
}

/// Columns of a table are called by their query's legend. A single query's column is `Value`, of several `Value #A`.
fn columns(panel: &Panel) -> Value {
    let name = |letter: char| if panel.queries.len() == 1 { "Value".to_owned() } else { format!("Value #{letter}") };
    panel.queries.iter().zip('A'..).map(|((_, legend), letter)| (name(letter), json!(legend))).collect()
}

/// Severities have the same colours everywhere; columns with durations say so.
fn overrides(panel: &Panel) -> Value {
    let of = |name: &str, id: &str, value: Value| json!({"matcher": {"id": "byName", "options": name}, "properties": [{"id": id, "value": value}]});
    if panel.form == Form::Table {
        let durations = panel.queries.iter().filter(|(expr, _)| expr.contains("_seconds"));
        return durations.map(|(_, column)| of(column, "unit", json!("s"))).collect();
    }
    if !panel.queries.iter().any(|(_, legend)| *legend == "{{severity}}") {
        return json!([]);
    }
    let colours =
        [("critical", "dark-red"), ("high", "red"), ("medium", "orange"), ("low", "yellow"), ("informational", "blue")];
    colours.iter().map(|(name, colour)| of(name, "color", json!({"mode": "fixed", "fixedColor": colour}))).collect()
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    #[test]
    fn dashboards_are_up_to_date() {
        let home = Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(HOME);
        for dashboard in ALL {
            let found = fs::read_to_string(home.join(format!("{}.json", dashboard.name))).unwrap_or_default();
            assert!(found == text(dashboard).unwrap(), "{}: run `cargo xtask bless dashboards`", dashboard.name);
        }
        assert_eq!(fs::read_dir(home).unwrap().count(), ALL.len(), "a dashboard that nothing makes");
    }

    /// What dashboards, rules and routes ask for is on the page of metrics.
    #[test]
    fn every_metric_that_is_asked_for_exists() {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
        let page = fs::read_to_string(root.join("docs/metrics.md")).unwrap();
        let mut asked = std::collections::BTreeSet::new();
        for directory in ["grafana", "prometheus"] {
            for file in fs::read_dir(root.join("dashboards").join(directory)).unwrap() {
                let text = fs::read_to_string(file.unwrap().path()).unwrap();
                let words = text.split(|c: char| !(c.is_ascii_alphanumeric() || "_:".contains(c)));
                // A recorded series has colons in its name.
                asked.extend(words.filter(|word| word.starts_with("tokenhound_")).map(str::to_owned));
            }
        }
        assert!(asked.len() > 20, "{asked:?}");
        for metric in asked {
            let base = ["_bucket", "_count", "_sum"].iter().find_map(|end| metric.strip_suffix(end)).unwrap_or(&metric);
            assert!(page.contains(&format!("| `{base}` |")), "{metric} is not in docs/metrics.md");
        }
    }

    #[test]
    fn panels_do_not_overlap_and_fit() {
        for dashboard in ALL {
            let made = json(dashboard);
            let mut taken = std::collections::BTreeSet::new();
            for panel in made["panels"].as_array().unwrap() {
                let at = |key: &str| panel["gridPos"][key].as_u64().unwrap();
                assert!(at("x") + at("w") <= COLUMNS, "{}", panel["title"]);
                for cell in (at("x")..at("x") + at("w")).flat_map(|x| (at("y")..at("y") + at("h")).map(move |y| (x, y)))
                {
                    assert!(taken.insert(cell), "{} of {} lies over another", panel["title"], dashboard.name);
                }
            }
        }
    }
}
