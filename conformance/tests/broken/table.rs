//! Which checks must reject which broken store.

mod events;
mod read_models;

use crate::how::How;

pub(crate) use events::EVENTS;
pub(crate) use read_models::READ_MODELS;

pub(crate) type Table = &'static [(How, &'static [&'static str])];

/// Stores with several logs.
pub(crate) const SEVERAL_LOGS: Table = &[
    (How::LosesAppends, &["logs_apart::streams_spread_over_the_logs_and_stay", "logs_apart::a_tenant_lies_in_one_log"]),
    (How::MixesTenants, &["logs_apart::a_tenant_lies_in_one_log"]),
    (
        How::RefusesAny,
        &["logs_apart::streams_spread_over_the_logs_and_stay", "logs_apart::a_key_used_in_another_log_is_reused"],
    ),
    (
        How::IgnoresQueryConditions,
        &[
            "logs_apart::a_query_condition_that_spans_logs_is_refused",
            "decide_across::a_boundary_of_all_logs_is_refused_where_there_are_several",
        ],
    ),
    (How::IgnoresQueriesOfAllTenants, &["logs_apart::a_query_condition_that_spans_logs_is_refused"]),
    (How::HalfApplies, &["logs_apart::an_append_that_spans_logs_is_refused_whole"]),
    (How::HalfVisible, &["logs_apart::an_append_that_spans_logs_is_refused_whole"]),
    (
        How::FailsNeighbours,
        &[
            "logs_apart::an_append_that_spans_logs_is_refused_whole",
            "logs_apart::a_query_condition_that_spans_logs_is_refused",
        ],
    ),
    (How::ForgetsKeys, &["logs_apart::a_key_used_in_another_log_is_reused"]),
    (
        How::NeverEnds,
        &["logs_apart::streams_spread_over_the_logs_and_stay", "logs_apart::a_key_used_in_another_log_is_reused"],
    ),
    (How::ShowsOutOfOrder, &["logs_apart::the_head_names_every_log"]),
    (How::LeavesGaps, &["logs_apart::the_head_names_every_log"]),
    (How::HasNoHead, &["logs_apart::the_head_names_every_log"]),
    (How::HeadsTheFirstLog, &["logs_apart::the_head_names_every_log"]),
    (
        How::DeclaresTooManyLogs,
        &["logs_apart::streams_spread_over_the_logs_and_stay", "logs_apart::the_head_names_every_log"],
    ),
];
