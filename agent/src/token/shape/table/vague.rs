//! Beginnings that say too little to recognise a token by them: what follows is not documented, is short, or is no secret.
//! Redaction takes what begins so.

use super::Loose::{self, Anywhere, Run, Start};

pub(crate) const VAGUE: &[(&str, Loose)] = &[
    // Any other key of vendors with documented ones.
    ("sk-ant-", Anywhere),
    ("pypi-", Start(24)),
    ("lsv2_", Start(6)),
    ("ops_ey", Anywhere),
    ("sq0", Start(8)),
    ("xoxa-", Anywhere),
    ("xoxd-", Anywhere),
    ("xoxe.", Anywhere),
    ("xoxo-", Anywhere),
    ("xoxr-", Anywhere),
    ("xoxs-", Anywhere),
    ("xwfp-", Anywhere),
    ("hooks.slack.com/workflows/", Anywhere),
    ("NpmToken.", Anywhere),
    ("duffel_", Run(6)),
    ("AGE-PLUGIN-", Anywhere),
    // Ids that belong to a secret beside them.
    ("AGPA", Start(12)),
    ("LTAI", Run(12)),
    ("AKID", Run(12)),
    ("SCW", Run(17)),
    ("ATTA", Run(24)),
    ("phc_", Run(20)),
    // Short beginnings.
    ("secret_", Run(32)),
    ("key-", Run(32)),
    ("tok_", Run(16)),
    ("s.", Run(24)),
    ("rnd_", Run(20)),
    ("EAAA", Run(24)),
    ("EAA", Run(40)),
    ("phx_", Run(20)),
    ("waka_", Run(6)),
    ("sourcegraph_", Run(16)),
    ("IGQV", Run(16)),
    ("v2.local.", Start(12)),
    ("v4.local.", Start(12)),
];
