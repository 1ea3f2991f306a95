//! The tokens themselves, for their owners.

use crate::bless::dashboards::{
    Form::{Bars, Lines, Number, Table, Trouble},
    Row, panel,
};

pub(in crate::bless::dashboards) const TOKENS: &[Row] = &[
    Row {
        title: "Posture",
        panels: &[
            panel(
                Number,
                6,
                "short",
                "Tokens in stores",
                "That have not ended by themselves.",
                &[("sum(tokenhound_tokens_tracked{@}) or vector(0)", "tokens")],
            ),
            panel(
                Number,
                6,
                "s",
                "Oldest",
                "Since it was issued, or since its file was written where nothing says when.",
                &[("max(tokenhound_token_age_seconds{@})", "age")],
            ),
            panel(
                Trouble,
                6,
                "short",
                "Copies",
                "Files outside of stores that hold a token and are not known to be gone.",
                &[("sum(tokenhound_token_copies{@}) or vector(0)", "copies")],
            ),
            panel(
                Number,
                6,
                "short",
                "Stores not understood",
                "Parts of stores in which tokens could not be looked for.",
                &[("sum(tokenhound_token_problems_total{@}) or vector(0)", "parts")],
            ),
            panel(
                Table,
                24,
                "short",
                "By store",
                "Number, age of the oldest, time until the first ends by itself, copies.",
                &[
                    ("sum by (store) (tokenhound_tokens_tracked{@})", "tokens"),
                    ("max by (store) (tokenhound_token_age_seconds{@})", "oldest"),
                    ("min by (store) (tokenhound_token_expiry_seconds{@})", "first ends in"),
                    ("sum by (store) (tokenhound_token_copies{@})", "copies"),
                ],
            ),
        ],
    },
    Row {
        title: "Over time",
        panels: &[
            panel(
                Lines,
                12,
                "short",
                "Tokens",
                "By store.",
                &[("sum by (store) (tokenhound_tokens_tracked{@})", "{{store}}")],
            ),
            panel(
                Lines,
                12,
                "short",
                "Copies",
                "By the store of the token.",
                &[("sum by (store) (tokenhound_token_copies{@})", "{{store}}")],
            ),
            panel(
                Table,
                12,
                "s",
                "How long tokens were exposed",
                "From the first finding about a token to its leaving the store: half of them, and nine in ten, in the time shown.",
                &[
                    (
                        "histogram_quantile(0.5, sum by (store, le) (increase(tokenhound_exposure_seconds_bucket{@}[$__range])))",
                        "half within",
                    ),
                    (
                        "histogram_quantile(0.9, sum by (store, le) (increase(tokenhound_exposure_seconds_bucket{@}[$__range])))",
                        "nine in ten within",
                    ),
                ],
            ),
            panel(
                Bars,
                12,
                "short",
                "Files looked into for copies",
                "By what came of it.",
                &[("sum by (outcome) (increase(tokenhound_files_scanned_total{@}[$__rate_interval]))", "{{outcome}}")],
            ),
            panel(
                Bars,
                12,
                "short",
                "Long command lines and environments",
                "Looks at what records had no room for, by what came of them.",
                &[("sum by (outcome) (increase(tokenhound_starts_read_total{@}[$__rate_interval]))", "{{outcome}}")],
            ),
        ],
    },
    Row {
        title: "Containers",
        panels: &[
            panel(
                Bars,
                8,
                "short",
                "New containers",
                "By what told what is mounted into them.",
                &[("sum by (source) (increase(tokenhound_containers_seen_total{@}[$__rate_interval]))", "{{source}}")],
            ),
            panel(
                Bars,
                8,
                "short",
                "Layers looked through",
                "Whole, or in part.",
                &[("sum by (outcome) (increase(tokenhound_layers_scanned_total{@}[$__rate_interval]))", "{{outcome}}")],
            ),
            panel(
                Lines,
                8,
                "Bps",
                "Bytes of layers",
                "Looked through a second.",
                &[("sum(rate(tokenhound_layer_scanned_bytes_total{@}[$__rate_interval]))", "bytes")],
            ),
        ],
    },
];
