//! What breaks the ports of events and snapshots, with one log.

use super::Table;
use crate::how::How;

pub(crate) const EVENTS: Table = &[
    (How::FindsAProblem, &["diagnosis::a_store_that_is_well_finds_no_problem"]),
    (How::FindsAProblemOfReadModels, &["diagnosis::a_store_that_is_well_finds_no_problem"]),
    (
        How::LosesAppends,
        &[
            "append::an_answered_append_is_there",
            "lanes::a_kept_state_never_gives_an_old_answer",
            "lanes::callers_that_go_away_harm_no_neighbour",
            "lanes::commands_that_queue_are_told_their_own_events",
            "lanes::sums_add_up_with_two_processes_and_a_cache",
            "repository::racing_commands_are_all_decided_on_fresh_state",
        ],
    ),
    (
        How::AnswersTheWrongPlace,
        &["append::an_event_is_read_alike_from_its_stream_and_its_log", "atomicity::every_stream_gets_its_events"],
    ),
    (How::CutsLargeAppends, &["append::one_append_may_hold_thousands_of_events"]),
    (
        How::MarksEmptyWrites,
        &["append::a_write_without_events_makes_no_stream", "keys::an_empty_outcome_is_remembered"],
    ),
    (How::MixesTenants, &["append::streams_of_two_tenants_are_apart", "keys::a_key_belongs_to_its_tenant"]),
    (
        How::IgnoresConditions,
        &["conditions::no_stream_holds_before_the_first_event_only", "reopening::versions_and_positions_go_on"],
    ),
    (
        How::IgnoresNoStream,
        &[
            "conditions::no_stream_holds_before_the_first_event_only",
            "reopening::versions_and_positions_go_on",
            "lanes::lost_answers_of_shared_appends_are_found",
            "repository::a_lost_answer_is_found_again",
        ],
    ),
    (How::IgnoresExists, &["conditions::exists_holds_after_the_first_event_only"]),
    (
        How::IgnoresVersions,
        &[
            "concurrency::many_writers_on_one_stream",
            "concurrency::many_writers_on_many_streams",
            "conditions::a_version_holds_at_that_version_only",
            "conditions::a_write_without_events_still_has_its_condition",
        ],
    ),
    (How::IgnoresConditionsOfEmptyWrites, &["conditions::a_write_without_events_still_has_its_condition"]),
    (
        How::RefusesAny,
        &[
            "append::an_answered_append_is_there",
            "append::versions_count_from_one_in_each_stream",
            "conditions::any_always_holds",
        ],
    ),
    (
        How::HidesTheActualVersion,
        &[
            "conditions::no_stream_holds_before_the_first_event_only",
            "conditions::a_version_holds_at_that_version_only",
        ],
    ),
    (
        How::RecordsWhatItRefuses,
        &[
            "conditions::no_stream_holds_before_the_first_event_only",
            "conditions::exists_holds_after_the_first_event_only",
        ],
    ),
    (
        How::IgnoresQueryConditions,
        &["query_conditions::what_was_seen_is_no_conflict", "query_conditions::of_racing_decisions_one_wins"],
    ),
    (How::WidensQueryConditions, &["query_conditions::only_events_that_match_are_conflicts"]),
    (
        How::WidensQueryConditionsToAllTenants,
        &["query_conditions::only_events_that_match_are_conflicts", "query_conditions::another_tenant_is_no_conflict"],
    ),
    (
        How::QueryConditionsIncludeTheirCursor,
        &[
            "query_conditions::an_event_that_came_after_is_a_conflict",
            "query_conditions::what_was_seen_is_no_conflict",
            "query_conditions::stream_conditions_count_beside_it",
            "query_conditions::of_racing_decisions_one_wins",
        ],
    ),
    (How::IgnoresQueriesOfAllTenants, &["query_conditions::a_query_of_all_tenants_holds_for_the_whole_log"]),
    (How::RefusesQueriesOfNothing, &["query_conditions::an_empty_log_holds_against_any_query"]),
    (How::RefusesCursorsBeyondTheHead, &["query_conditions::a_cursor_beyond_the_head_holds"]),
    (
        How::HalfApplies,
        &[
            "append::the_answer_says_where_the_events_stand",
            "atomicity::a_conflict_on_one_stream_leaves_all_as_they_were",
        ],
    ),
    (
        How::HalfVisible,
        &["atomicity::a_reader_never_sees_half_of_it", "concurrency::dropped_futures_leave_the_store_whole"],
    ),
    (
        How::FailsNeighbours,
        &["limits::an_append_of_nothing_is_refused", "limits::what_is_named_twice_in_one_append_is_refused"],
    ),
    (
        How::ForgetsKeys,
        &[
            "keys::an_outcome_is_found_under_its_key",
            "keys::a_key_is_looked_up_before_query_conditions",
            "lanes::racing_repetitions_on_kept_states_are_told_the_same",
        ],
    ),
    (
        How::ForgetsRefusals,
        &["keys::an_empty_outcome_is_remembered", "keys::whoever_refuses_second_gets_what_was_accepted"],
    ),
    (
        How::LooksUpKeysLate,
        &[
            "keys::a_repetition_gets_the_first_outcome_and_writes_nothing",
            "keys::of_racing_repetitions_one_outcome_stands",
            "reopening::keys_survive",
        ],
    ),
    (How::LooksUpKeysAfterQueries, &["keys::a_key_is_looked_up_before_query_conditions"]),
    (
        How::IgnoresFingerprints,
        &[
            "keys::an_outcome_is_found_under_its_key",
            "keys::other_content_under_the_same_key_is_refused",
            "repository::a_repeated_command_happens_once",
            "repository::refusals_and_empty_decisions_are_remembered",
            "repository::racing_repetitions_are_told_the_same",
        ],
    ),
    (How::SharesKeysAmongTenants, &["keys::a_key_belongs_to_its_tenant"]),
    (How::RemembersConflicts, &["keys::a_conflict_leaves_the_key_unused"]),
    (
        How::HidesRepetition,
        &[
            "keys::a_key_is_looked_up_before_query_conditions",
            "keys::a_refusal_is_remembered",
            "keys::whoever_refuses_second_gets_what_was_accepted",
        ],
    ),
    (
        How::TakesLargePayloads,
        &[
            "concurrency::a_failed_append_harms_no_other",
            "lanes::input_that_is_refused_harms_no_neighbour",
            "limits::a_payload_over_the_limit_is_refused",
        ],
    ),
    (
        How::TakesAnything,
        &[
            "limits::a_payload_that_is_not_json_is_refused",
            "limits::an_append_of_nothing_is_refused",
            "limits::what_is_named_twice_in_one_append_is_refused",
        ],
    ),
    (How::CutsNames, &["limits::the_longest_names_are_taken"]),
    (
        How::ReadsForwardOnly,
        &[
            "streams::forward_and_backward_are_each_other_reversed",
            "streams::a_page_begins_after_what_was_asked",
            "streams::pages_hold_each_event_once",
        ],
    ),
    (How::IncludesAfter, &["repository::snapshots_change_nothing_but_time", "subscriptions::it_goes_on_from_a_cursor"]),
    (
        How::IgnoresUpTo,
        &[
            "logs::a_page_begins_after_and_ends_with_what_was_asked",
            "streams::a_page_ends_with_the_version_that_was_asked",
        ],
    ),
    (
        How::IgnoresLimits,
        &[
            "logs::a_log_is_read_in_order_in_pages_of_any_size",
            "streams::a_page_ends_with_the_version_that_was_asked",
            "streams::a_page_limit_of_nothing_still_moves_on",
        ],
    ),
    (How::IgnoresBytes, &["logs::pages_are_bounded_by_bytes", "streams::pages_are_bounded_by_bytes"]),
    (How::NeverEnds, &["append::streams_of_two_tenants_are_apart", "streams::a_stream_that_does_not_exist_is_empty"]),
    (
        How::AlwaysEnds,
        &["append::one_append_may_hold_thousands_of_events", "concurrency::dropped_futures_leave_the_store_whole"],
    ),
    (How::TakesLimitsByTheLetter, &["streams::a_page_limit_of_nothing_still_moves_on"]),
    (How::ReachesOnlyWhatMatches, &["logs::a_filter_that_matches_nothing_still_moves_on"]),
    (
        How::ReachesTooFar,
        &["concurrency::a_tailing_reader_misses_nothing", "subscriptions::it_catches_up_and_then_lives"],
    ),
    (
        How::MarksAnotherEvent,
        &[
            "logs::backward_is_forward_reversed",
            "logs::a_filter_that_matches_nothing_still_moves_on",
            "logs::a_page_says_which_event_it_has_reached",
        ],
    ),
    (
        How::IgnoresFilters,
        &[
            "logs::a_filter_means_what_it_says",
            "logs::a_filter_that_matches_nothing_still_moves_on",
            "subscriptions::it_finds_all_that_its_filter_means",
            "subscriptions::typed_events_are_decoded",
        ],
    ),
    (How::InventsLogs, &["logs::a_log_that_is_not_there_is_an_error"]),
    (
        How::ReversesPositions,
        &["append::an_event_is_read_alike_from_its_stream_and_its_log", "logs::events_are_found_by_position"],
    ),
    (
        How::PositionsWithoutTags,
        &["append::an_event_is_read_alike_from_its_stream_and_its_log", "logs::events_are_found_by_position"],
    ),
    (How::ShowsOutOfOrder, &["append::positions_rise", "subscriptions::it_goes_on_from_a_cursor"]),
    (How::LeavesGaps, &["append::positions_rise", "append::the_head_is_the_last_event"]),
    (How::HasNoHead, &["append::the_head_is_the_last_event", "repository::what_was_executed_is_loaded"]),
    (How::DeclaresTooManyLogs, &["logs::a_log_that_is_not_there_is_an_error"]),
    (
        How::TruncatesPayloads,
        &[
            "repository::racing_commands_are_all_decided_on_fresh_state",
            "repository::tenants_have_aggregates_of_their_own",
        ],
    ),
    (How::ReformatsPayloads, &["content::payloads_come_back_byte_for_byte"]),
    (How::DropsTags, &["content::types_tags_and_schema_versions_come_back", "limits::the_longest_names_are_taken"]),
    (
        How::DropsMetadata,
        &["content::times_come_back_to_the_microsecond", "times::when_nobody_said_it_happened_when_it_was_recorded"],
    ),
    (
        How::CutsTimes,
        &[
            "content::metadata_comes_back",
            "content::times_come_back_to_the_microsecond",
            "times::when_nobody_said_it_happened_when_it_was_recorded",
        ],
    ),
    (
        How::DropsSchemaVersions,
        &["content::types_tags_and_schema_versions_come_back", "content::a_variety_of_events_comes_back"],
    ),
    (How::FoldsCase, &["content::stream_names_are_compared_by_their_bytes"]),
    (How::GoesBackInTime, &["times::recorded_at_never_goes_back", "repository::an_aggregate_is_shown_as_it_was"]),
    (How::LivesElsewhen, &["times::recorded_at_is_the_time_of_the_append"]),
    (
        How::InventsTimes,
        &["content::payloads_come_back_byte_for_byte", "times::when_nobody_said_it_happened_when_it_was_recorded"],
    ),
    (How::NeverWakes, &["wakeups::an_append_wakes_who_waits", "wakeups::a_wakeup_before_the_wait_is_not_lost"]),
    (
        How::WakesTooEarly,
        &["wakeups::who_is_woken_finds_the_event", "subscriptions::it_misses_nothing_while_writers_race"],
    ),
    (How::ClosesInSilence, &["wakeups::closing_ends_the_wait", "subscriptions::it_ends_with_the_store"]),
    (How::IgnoresClosing, &["closing::calls_after_closing_fail_as_closed"]),
    (How::HangsOnClosingTwice, &["closing::closing_twice_is_closing_once"]),
    (How::ForgetsWhatItTook, &["closing::what_was_taken_is_finished"]),
    (How::HangsAfterClosing, &["closing::calls_after_closing_fail_as_closed"]),
    (
        How::ForgetsOnClosing,
        &["reopening::events_survive", "reopening::the_identity_survives", "reopening::read_models_survive"],
    ),
    (
        How::ForgetsSnapshots,
        &[
            "lanes::snapshots_are_written_beside_a_cache",
            "reopening::snapshots_survive",
            "snapshots::the_newest_is_found",
        ],
    ),
    (
        How::NewestOfAll,
        &["snapshots::the_newest_within_any_bound_is_found", "snapshots::the_newest_is_by_version_among_those_within"],
    ),
    (How::NewestByHappening, &["snapshots::the_newest_is_found", "snapshots::the_newest_within_any_bound_is_found"]),
    (How::NeverReplacesSnapshots, &["snapshots::one_of_the_same_version_is_replaced"]),
    (How::NeverPrunes, &["snapshots::all_but_the_newest_are_forgotten"]),
    (How::MixesSnapshotSchemas, &["snapshots::keys_are_apart"]),
    (
        How::QueryConditionsIncludeTheirCursor,
        &[
            "decide_across::racing_decisions_never_break_their_rule",
            "decide_across::racing_repetitions_take_one_seat",
            "decide_across::a_lost_answer_is_no_repetition",
        ],
    ),
    (How::IgnoresQueryConditions, &["decide_across::what_is_no_longer_so_called_is_found"]),
    (How::LosesAppends, &["decide_across::an_unrelated_boundary_is_no_conflict"]),
    (How::SharesKeysAmongTenants, &["decide_across::a_key_belongs_to_the_tenant_of_the_decision"]),
    (
        How::ForgetsRefusals,
        &["decide_across::whoever_repeats_gets_the_first_outcome", "decide_across::an_empty_decision_records_nothing"],
    ),
];
