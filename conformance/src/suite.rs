//! Every check by name, and the tests that are made of them.

use crate::run::Check;

/// Hands every check to another macro, as `area::suite { names }`. A check that is missing here is dead code, which
/// the compiler reports.
#[doc(hidden)]
#[macro_export]
macro_rules! __every_check {
    ([$($then:tt)+] $($given:tt)*) => {
        $($then)+! {
            ($($given)*)
            events::append {
                an_answered_append_is_there,
                versions_count_from_one_in_each_stream,
                the_answer_says_where_the_events_stand,
                positions_rise,
                streams_of_two_tenants_are_apart,
                one_append_may_hold_thousands_of_events,
                the_head_is_the_last_event,
                a_write_without_events_makes_no_stream,
                an_event_is_read_alike_from_its_stream_and_its_log,
            }
            events::atomicity {
                every_stream_gets_its_events,
                a_conflict_on_one_stream_leaves_all_as_they_were,
                a_reader_never_sees_half_of_it,
            }
            events::closing {
                calls_after_closing_fail_as_closed,
                closing_twice_is_closing_once,
                what_was_taken_is_finished,
            }
            events::concurrency {
                many_writers_on_one_stream,
                many_writers_on_many_streams,
                a_tailing_reader_misses_nothing,
                dropped_futures_leave_the_store_whole,
                a_failed_append_harms_no_other,
            }
            events::conditions {
                any_always_holds,
                no_stream_holds_before_the_first_event_only,
                exists_holds_after_the_first_event_only,
                a_version_holds_at_that_version_only,
                a_write_without_events_still_has_its_condition,
            }
            events::content {
                payloads_come_back_byte_for_byte,
                metadata_comes_back,
                types_tags_and_schema_versions_come_back,
                stream_names_are_compared_by_their_bytes,
                times_come_back_to_the_microsecond,
                a_variety_of_events_comes_back,
            }
            events::diagnosis {
                a_store_that_is_well_finds_no_problem,
            }
            events::keys {
                an_outcome_is_found_under_its_key,
                a_repetition_gets_the_first_outcome_and_writes_nothing,
                a_key_is_looked_up_before_query_conditions,
                a_refusal_is_remembered,
                an_empty_outcome_is_remembered,
                whoever_refuses_second_gets_what_was_accepted,
                other_content_under_the_same_key_is_refused,
                a_key_belongs_to_its_tenant,
                a_conflict_leaves_the_key_unused,
                of_racing_repetitions_one_outcome_stands,
            }
            events::limits {
                a_payload_over_the_limit_is_refused,
                a_payload_that_is_not_json_is_refused,
                an_append_of_nothing_is_refused,
                what_is_named_twice_in_one_append_is_refused,
                the_longest_names_are_taken,
            }
            events::logs {
                a_log_is_read_in_order_in_pages_of_any_size,
                backward_is_forward_reversed,
                a_page_begins_after_and_ends_with_what_was_asked,
                a_filter_means_what_it_says,
                a_filter_that_matches_nothing_still_moves_on,
                a_page_says_which_event_it_has_reached,
                pages_are_bounded_by_bytes,
                a_log_that_is_not_there_is_an_error,
                events_are_found_by_position,
            }
            events::logs_apart {
                streams_spread_over_the_logs_and_stay,
                a_tenant_lies_in_one_log,
                an_append_that_spans_logs_is_refused_whole,
                a_query_condition_that_spans_logs_is_refused,
                a_key_used_in_another_log_is_reused,
                the_head_names_every_log,
            }
            events::query_conditions {
                an_event_that_came_after_is_a_conflict,
                what_was_seen_is_no_conflict,
                an_empty_log_holds_against_any_query,
                only_events_that_match_are_conflicts,
                another_tenant_is_no_conflict,
                a_query_of_all_tenants_holds_for_the_whole_log,
                stream_conditions_count_beside_it,
                a_cursor_beyond_the_head_holds,
                of_racing_decisions_one_wins,
            }
            events::reopening {
                events_survive,
                the_identity_survives,
                versions_and_positions_go_on,
                keys_survive,
                snapshots_survive,
                read_models_survive,
            }
            events::snapshots {
                the_newest_is_found,
                the_newest_within_any_bound_is_found,
                the_newest_is_by_version_among_those_within,
                one_of_the_same_version_is_replaced,
                all_but_the_newest_are_forgotten,
                keys_are_apart,
            }
            events::streams {
                a_stream_that_does_not_exist_is_empty,
                forward_and_backward_are_each_other_reversed,
                a_page_begins_after_what_was_asked,
                a_page_ends_with_the_version_that_was_asked,
                pages_hold_each_event_once,
                pages_are_bounded_by_bytes,
                a_page_limit_of_nothing_still_moves_on,
            }
            events::times {
                recorded_at_never_goes_back,
                recorded_at_is_the_time_of_the_append,
                when_nobody_said_it_happened_when_it_was_recorded,
            }
            events::wakeups {
                an_append_wakes_who_waits,
                a_wakeup_before_the_wait_is_not_lost,
                who_is_woken_finds_the_event,
                closing_ends_the_wait,
            }
            read_models::commits {
                a_shard_begins_at_the_start,
                a_commit_writes_documents_and_moves_the_checkpoint,
                another_checkpoint_is_stale,
                the_same_commit_twice_counts_once,
                another_epoch_is_stale,
                the_epoch_is_raised_from_the_expected_one_only,
                of_racing_commits_one_wins,
                partitions_and_logs_have_their_own_checkpoints,
                a_stale_commit_makes_no_shard,
                a_failure_is_reported_and_taken_back,
                a_failure_is_over_once_its_event_was_taken,
                one_commit_writes_many_documents,
            }
            read_models::documents {
                a_document_comes_back_as_it_was,
                answers_are_in_the_order_of_the_keys,
                a_deleted_document_is_hidden_from_readers,
                pages_are_in_the_order_of_the_keys_as_bytes,
                a_listing_steps_over_deleted_documents,
                tenants_are_apart,
                logs_have_documents_of_their_own,
                a_generation_can_be_read_by_its_number,
            }
            read_models::finding {
                documents_are_found_by_their_fields,
                what_is_found_is_sorted_alike_everywhere,
                pages_go_on_where_the_last_one_ended,
                fields_follow_their_documents,
                a_field_that_a_generation_lacks_is_refused,
                fields_belong_to_their_generation,
                tenants_and_logs_are_apart,
            }
            read_models::finding_model {
                any_query_finds_what_a_look_at_every_document_does,
            }
            read_models::values {
                what_is_kept_of_documents_is_told_by_key_and_log,
                what_is_kept_of_documents_that_are_not_there_is_told,
            }
            read_models::generations {
                opening_makes_a_live_generation_once,
                racing_to_open_or_build_makes_one,
                versions_have_their_own_live_generation,
                building_serves_nobody,
                projections_are_listed,
                a_switch_exchanges_the_live_one,
                a_switch_raises_every_epoch,
                what_was_retired_takes_no_writes,
                a_switch_while_behind_is_refused,
                a_switch_needs_the_live_one,
                a_switch_needs_one_that_fits,
                a_switch_back_is_a_switch,
                what_has_diverged_may_be_replaced_from_behind,
                of_racing_switches_one_wins,
                the_live_one_is_not_dropped,
                a_dropped_one_is_expired,
                numbers_are_never_given_twice,
            }
            read_models::retired {
                what_was_replaced_is_kept_for_as_long_as_was_said,
                what_is_kept_until_it_is_dropped_has_no_time,
                only_what_is_retired_is_dropped_by_time,
                what_was_retired_comes_back,
                a_replay_does_not_build_on_what_was_reopened,
                reopening_raises_every_epoch,
                only_what_is_retired_is_reopened,
                the_live_one_can_be_taken_out_of_service,
                what_is_built_can_be_taken_out_of_service,
            }
            read_models::history {
                kept_versions_come_before_the_current_one,
                a_history_begins_with_its_base,
                the_base_is_the_newest_that_lies_within,
                a_history_goes_on_after_a_position,
                histories_are_in_the_order_of_the_keys,
                logs_have_histories_of_their_own,
                a_version_kept_again_is_replaced,
            }
            read_models::retention {
                what_nobody_needs_is_forgotten_and_the_rest_stays,
                however_it_was_committed_what_is_needed_stays,
                what_is_kept_late_is_forgotten_in_its_turn,
                much_is_forgotten_by_and_by,
                a_past_belongs_to_its_log_and_generation,
                what_was_forgotten_stays_so_and_a_stale_commit_forgets_nothing,
            }
            read_models::leases {
                what_nobody_has_is_taken_and_listed,
                a_holder_that_says_something_else_has_it_since_it_took_it,
                of_racing_takers_one_wins,
                a_lease_is_taken_over_as_it_was_seen_only,
                renewing_raises_the_counters_of_one_holder,
                what_is_given_back_is_free_at_once,
                taking_a_lease_raises_epochs_with_it,
                a_lease_without_a_read_model_is_taken,
            }
            users::decide_across {
                racing_decisions_never_break_their_rule,
                an_unrelated_boundary_is_no_conflict,
                whoever_repeats_gets_the_first_outcome,
                racing_repetitions_take_one_seat,
                a_key_belongs_to_the_tenant_of_the_decision,
                a_lost_answer_is_no_repetition,
                what_is_no_longer_so_called_is_found,
                an_empty_decision_records_nothing,
                a_boundary_of_all_logs_is_refused_where_there_are_several,
            }
            users::lanes {
                sums_add_up_with_two_processes_and_a_cache,
                commands_that_queue_are_told_their_own_events,
                a_kept_state_never_gives_an_old_answer,
                snapshots_are_written_beside_a_cache,
                input_that_is_refused_harms_no_neighbour,
                lost_answers_of_shared_appends_are_found,
                callers_that_go_away_harm_no_neighbour,
                racing_repetitions_on_kept_states_are_told_the_same,
            }
            users::repository {
                what_was_executed_is_loaded,
                racing_commands_are_all_decided_on_fresh_state,
                an_aggregate_is_shown_as_it_was,
                snapshots_change_nothing_but_time,
                a_repeated_command_happens_once,
                refusals_and_empty_decisions_are_remembered,
                racing_repetitions_are_told_the_same,
                a_lost_answer_is_found_again,
                tenants_have_aggregates_of_their_own,
            }
            users::subscriptions {
                it_catches_up_and_then_lives,
                it_goes_on_from_a_cursor,
                it_finds_all_that_its_filter_means,
                it_misses_nothing_while_writers_race,
                typed_events_are_decoded,
                it_ends_with_the_store,
            }
        }
    };
}

/// Tests of every promise, each on a store of its own that `factory` makes: the path of a function without arguments
/// that returns a future of a [`Fixture`](crate::Fixture), or of none where there is nothing to run on.
///
/// The tests lie in one module for each suite; put the invocation in a module of its own to run the suites on more than
/// one kind of store.
#[macro_export]
macro_rules! suite {
    ($factory:path) => {
        $crate::__every_check! { [$crate::__tests] $factory }
    };
}

#[doc(hidden)]
#[macro_export]
macro_rules! __tests {
    (($factory:path) $($area:ident :: $suite:ident { $($check:ident,)* })*) => {
        $(
            mod $suite {
                #[allow(unused_imports)]
                use super::*;
                $(
                    #[test]
                    fn $check() {
                        $crate::run($crate::check(stringify!($suite), stringify!($check)), $factory);
                    }
                )*
            }
        )*
    };
}

macro_rules! list {
    (() $($area:ident :: $suite:ident { $($check:ident,)* })*) => {
        vec![$($(Check::new(
            stringify!($suite),
            stringify!($check),
            |fixture| Box::pin(crate::$area::$suite::$check(fixture)),
        ),)*)*]
    };
}

/// Every check, in no order that matters.
///
/// ```
/// assert!(factum_conformance::checks().iter().any(|check| check.suite() == "keys"));
/// ```
pub fn checks() -> Vec<Check> {
    __every_check! { [list] }
}

/// The check with this name in this suite.
///
/// # Panics
/// If there is none.
pub fn check(suite: &str, name: &str) -> Check {
    match checks().into_iter().find(|check| check.suite() == suite && check.name() == name) {
        Some(check) => check,
        None => panic!("there is no check {suite}::{name}"),
    }
}
