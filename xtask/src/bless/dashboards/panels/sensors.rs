//! The agents, for those who run the machines.

use crate::bless::dashboards::{
    Form::{Bars, Lines, Table, Trouble},
    Row, panel,
};

pub(in crate::bless::dashboards) const SENSORS: &[Row] = &[
    Row {
        title: "Blind spots",
        panels: &[
            panel(Trouble, 6, "short", "Do not answer", "Agents.", &[("count(up{@} == 0) or vector(0)", "machines")]),
            panel(
                Trouble,
                6,
                "short",
                "Silent probes",
                "That did not prove on a canary that they report.",
                &[("count(tokenhound_probe_live{@} == 0) or vector(0)", "probes")],
            ),
            panel(
                Trouble,
                6,
                "short",
                "Records lost",
                "In the time shown; each may have been a theft.",
                &[("ceil(sum(increase(tokenhound_records_lost_total{@}[$__range])))", "records")],
            ),
            panel(
                Trouble,
                6,
                "short",
                "Refused policies",
                "The policy of before holds there.",
                &[("sum(tokenhound_policy_refused{@}) or vector(0)", "machines")],
            ),
            panel(
                Table,
                12,
                "short",
                "Probes",
                "1: reports; 0: does not.",
                &[("min by (instance, tier, probe) (tokenhound_probe_live{@})", "live")],
            ),
            panel(
                Table,
                12,
                "short",
                "Versions",
                "Machines by version of the agent.",
                &[("count by (version, arch) (tokenhound_build_info{@})", "machines")],
            ),
            panel(
                Bars,
                12,
                "short",
                "Records lost",
                "By reason.",
                &[("sum by (reason) (increase(tokenhound_records_lost_total{@}[$__rate_interval]))", "{{reason}}")],
            ),
            panel(
                Bars,
                12,
                "short",
                "Pushed out of full tables",
                "By table.",
                &[("sum by (table) (increase(tokenhound_table_evictions_total{@}[$__rate_interval]))", "{{table}}")],
            ),
        ],
    },
    Row {
        title: "Work",
        panels: &[
            panel(
                Lines,
                12,
                "cps",
                "Records a second",
                "By kind.",
                &[("sum by (kind) (rate(tokenhound_records_total{@}[$__rate_interval]))", "{{kind}}")],
            ),
            panel(
                Lines,
                12,
                "s",
                "From the kernel's record to the finding",
                "Half of the findings, and 99 in 100; nothing where nothing is found.",
                &[
                    (
                        "histogram_quantile(0.5, sum by (le) (rate(tokenhound_detection_latency_seconds_bucket{@}[$__rate_interval])))",
                        "half",
                    ),
                    (
                        "histogram_quantile(0.99, sum by (le) (rate(tokenhound_detection_latency_seconds_bucket{@}[$__rate_interval])))",
                        "99 in 100",
                    ),
                ],
            ),
            panel(
                Lines,
                8,
                "short",
                "Processes followed",
                "With those that ended lately.",
                &[("tokenhound_processes_tracked{@}", "{{instance}}")],
            ),
            panel(
                Lines,
                8,
                "short",
                "Files that wait to be looked into",
                "They may hold a token.",
                &[("tokenhound_files_to_scan{@}", "{{instance}}")],
            ),
            panel(
                Lines,
                8,
                "short",
                "Each read looked at",
                "1 while an unexpected process has a store open.",
                &[("tokenhound_reads_watched{@}", "{{instance}}")],
            ),
        ],
    },
    Row {
        title: "Delivery",
        panels: &[
            panel(
                Lines,
                6,
                "short",
                "Waiting for sinks",
                "Not lost: tried again.",
                &[("sum by (instance, sink) (tokenhound_sink_queue_length{@})", "{{instance}} {{sink}}")],
            ),
            panel(
                Bars,
                6,
                "short",
                "Delivered",
                "By sink.",
                &[("sum by (sink) (increase(tokenhound_sink_delivered_total{@}[$__rate_interval]))", "{{sink}}")],
            ),
            panel(
                Bars,
                6,
                "short",
                "Attempts that failed",
                "By sink.",
                &[("sum by (sink) (increase(tokenhound_sink_failed_total{@}[$__rate_interval]))", "{{sink}}")],
            ),
            panel(
                Bars,
                6,
                "short",
                "Not delivered",
                "Refused by a receiver for good, or given up because a bound was reached.",
                &[
                    (
                        "sum by (sink) (increase(tokenhound_sink_set_aside_total{@}[$__rate_interval]))",
                        "{{sink}} set aside",
                    ),
                    (
                        "sum by (sink) (increase(tokenhound_sink_dropped_total{@}[$__rate_interval]))",
                        "{{sink}} dropped",
                    ),
                ],
            ),
        ],
    },
    Row {
        title: "State",
        panels: &[
            panel(
                Lines,
                8,
                "bytes",
                "Size of the history",
                "In use.",
                &[("tokenhound_history_size_bytes{@}", "{{instance}}")],
            ),
            panel(
                Bars,
                8,
                "short",
                "Not written to the history, or to a capture",
                "A full queue, or a disk that refused.",
                &[
                    ("sum(increase(tokenhound_history_lost_total{@}[$__rate_interval]))", "history"),
                    ("sum(increase(tokenhound_capture_lost_total{@}[$__rate_interval]))", "capture"),
                ],
            ),
            panel(
                Bars,
                8,
                "short",
                "Pruned from the history",
                "By table.",
                &[("sum by (table) (increase(tokenhound_history_pruned_total{@}[$__rate_interval]))", "{{table}}")],
            ),
            panel(
                Bars,
                24,
                "short",
                "Readers in places that users can write",
                "Seen for the first time, or with another content.",
                &[(
                    "sum by (outcome) (increase(tokenhound_readers_remembered_total{@}[$__rate_interval]))",
                    "{{outcome}}",
                )],
            ),
        ],
    },
];
