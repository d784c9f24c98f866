//! What breaks the port of read models.

use super::Table;
use crate::how::How;

pub(crate) const READ_MODELS: Table = &[
    (
        How::CommitsOnAnyCheckpoint,
        &["commits::the_same_commit_twice_counts_once", "commits::a_stale_commit_makes_no_shard"],
    ),
    (How::CommitsInAnyEpoch, &["commits::another_epoch_is_stale", "generations::a_switch_raises_every_epoch"]),
    (How::WritesWhatIsStale, &["commits::of_racing_commits_one_wins", "commits::a_stale_commit_makes_no_shard"]),
    (
        How::CommitsNoDocuments,
        &["commits::a_commit_writes_documents_and_moves_the_checkpoint", "generations::the_live_one_is_not_dropped"],
    ),
    (How::CutsLargeCommits, &["commits::one_commit_writes_many_documents"]),
    (
        How::ForgetsWhatItStandsOn,
        &["commits::a_commit_writes_documents_and_moves_the_checkpoint", "commits::another_epoch_is_stale"],
    ),
    (
        How::NeverRaises,
        &[
            "commits::the_epoch_is_raised_from_the_expected_one_only",
            "commits::partitions_and_logs_have_their_own_checkpoints",
        ],
    ),
    (How::RaisesFromAnyEpoch, &["commits::the_epoch_is_raised_from_the_expected_one_only"]),
    (
        How::MixesPartitions,
        &["commits::partitions_and_logs_have_their_own_checkpoints", "generations::a_switch_raises_every_epoch"],
    ),
    (
        How::MixesLogs,
        &["commits::partitions_and_logs_have_their_own_checkpoints", "generations::a_switch_while_behind_is_refused"],
    ),
    (
        How::StaleMakesAShard,
        &[
            "commits::another_checkpoint_is_stale",
            "commits::of_racing_commits_one_wins",
            "commits::a_stale_commit_makes_no_shard",
        ],
    ),
    (
        How::ForgetsReports,
        &[
            "commits::a_failure_is_reported_and_taken_back",
            "generations::what_has_diverged_may_be_replaced_from_behind",
        ],
    ),
    (How::KeepsFailures, &["commits::a_failure_is_over_once_its_event_was_taken"]),
    (How::ReportsInAnyEpoch, &["commits::a_failure_is_reported_and_taken_back"]),
    (How::ForgetsSince, &["leases::a_holder_that_says_something_else_has_it_since_it_took_it"]),
    (How::TakesWhatIsHeld, &["leases::of_racing_takers_one_wins", "leases::a_lease_is_taken_over_as_it_was_seen_only"]),
    (How::TakesWhatMoved, &["leases::a_lease_is_taken_over_as_it_was_seen_only"]),
    (How::TakesWithoutRaising, &["leases::taking_a_lease_raises_epochs_with_it"]),
    (How::RaisesTheLiveOne, &["leases::taking_a_lease_raises_epochs_with_it"]),
    (How::RaisesThoughRefused, &["leases::taking_a_lease_raises_epochs_with_it"]),
    (
        How::RenewsNothing,
        &["leases::renewing_raises_the_counters_of_one_holder", "leases::a_lease_is_taken_over_as_it_was_seen_only"],
    ),
    (How::LeasesMakeGenerations, &["leases::a_lease_without_a_read_model_is_taken"]),
    (How::RenewsWhatIsLost, &["leases::a_lease_is_taken_over_as_it_was_seen_only"]),
    (How::NeverReleases, &["leases::what_is_given_back_is_free_at_once"]),
    (
        How::ReleasesWhatIsLost,
        &["leases::a_lease_is_taken_over_as_it_was_seen_only", "leases::what_is_given_back_is_free_at_once"],
    ),
    (How::ListsLeasesBackward, &["leases::what_nobody_has_is_taken_and_listed"]),
    (How::BeginsElsewhere, &["commits::a_shard_begins_at_the_start"]),
    (
        How::OpensAnother,
        &["generations::opening_makes_a_live_generation_once", "generations::racing_to_open_or_build_makes_one"],
    ),
    (
        How::BuildsAnother,
        &["generations::racing_to_open_or_build_makes_one", "generations::a_switch_needs_the_live_one"],
    ),
    (
        How::MixesVersions,
        &["generations::versions_have_their_own_live_generation", "generations::building_serves_nobody"],
    ),
    (
        How::ServesWhatIsBuilt,
        &[
            "generations::versions_have_their_own_live_generation",
            "generations::building_serves_nobody",
            "generations::a_switch_exchanges_the_live_one",
        ],
    ),
    (How::UnsortedProjections, &["generations::projections_are_listed"]),
    (How::SwitchesWhileBehind, &["generations::a_switch_while_behind_is_refused"]),
    (
        How::SwitchesToWhatFailed,
        &["generations::a_switch_needs_one_that_fits", "generations::what_has_diverged_may_be_replaced_from_behind"],
    ),
    (
        How::SwitchesFromAnything,
        &["generations::a_switch_needs_the_live_one", "generations::of_racing_switches_one_wins"],
    ),
    (
        How::SwitchesToAnything,
        &["generations::a_switch_needs_one_that_fits", "generations::what_has_diverged_may_be_replaced_from_behind"],
    ),
    (How::NeverSwitches, &["generations::a_switch_needs_the_live_one", "generations::of_racing_switches_one_wins"]),
    (How::NeverSwitchesBack, &["generations::a_switch_back_is_a_switch"]),
    (How::SwitchKeepsEpochs, &["generations::a_switch_raises_every_epoch"]),
    (
        How::WritesWhatIsRetired,
        &["generations::what_was_retired_takes_no_writes", "generations::a_dropped_one_is_expired"],
    ),
    (
        How::NeverRetires,
        &["retired::the_live_one_can_be_taken_out_of_service", "retired::what_is_built_can_be_taken_out_of_service"],
    ),
    (How::KeepsForever, &["retired::what_is_kept_until_it_is_dropped_has_no_time"]),
    (How::ReopensAnything, &["retired::only_what_is_retired_is_reopened"]),
    (How::ReopenKeepsEpochs, &["retired::reopening_raises_every_epoch"]),
    (
        How::NeverReopens,
        &[
            "retired::what_was_retired_comes_back",
            "retired::a_replay_does_not_build_on_what_was_reopened",
            "retired::only_what_is_retired_is_dropped_by_time",
        ],
    ),
    (
        How::DropsNothing,
        &[
            "retired::what_was_replaced_is_kept_for_as_long_as_was_said",
            "retired::what_is_kept_until_it_is_dropped_has_no_time",
        ],
    ),
    (How::DropsWhatIsKept, &["retired::what_was_replaced_is_kept_for_as_long_as_was_said"]),
    (How::DropsTheLiveOne, &["generations::the_live_one_is_not_dropped"]),
    (How::ExpiredIsEmpty, &["generations::a_dropped_one_is_expired"]),
    (How::GivesNumbersTwice, &["generations::numbers_are_never_given_twice"]),
    (
        How::TruncatesDocuments,
        &["commits::a_commit_writes_documents_and_moves_the_checkpoint", "commits::one_commit_writes_many_documents"],
    ),
    (
        How::DropsDocumentPositions,
        &["documents::a_document_comes_back_as_it_was", "documents::answers_are_in_the_order_of_the_keys"],
    ),
    (How::SortsAnswers, &["documents::answers_are_in_the_order_of_the_keys"]),
    (
        How::ShowsDeleted,
        &["documents::a_deleted_document_is_hidden_from_readers", "documents::a_listing_steps_over_deleted_documents"],
    ),
    (How::SortsByLetters, &["documents::pages_are_in_the_order_of_the_keys_as_bytes"]),
    (
        How::ListsOnePage,
        &[
            "documents::pages_are_in_the_order_of_the_keys_as_bytes",
            "documents::a_listing_steps_over_deleted_documents",
        ],
    ),
    (
        How::HidesDeletedTooLate,
        &["documents::a_listing_steps_over_deleted_documents", "documents::logs_have_documents_of_their_own"],
    ),
    (How::KnowsNoOtherTenant, &["documents::tenants_are_apart"]),
    (How::MixesDocumentTenants, &["documents::tenants_are_apart", "history::histories_are_in_the_order_of_the_keys"]),
    (
        How::ReadsTheLiveOne,
        &[
            "finding::fields_belong_to_their_generation",
            "documents::a_generation_can_be_read_by_its_number",
            "generations::versions_have_their_own_live_generation",
        ],
    ),
    (
        How::FindsByOneCondition,
        &[
            "finding::documents_are_found_by_their_fields",
            "finding_model::any_query_finds_what_a_look_at_every_document_does",
        ],
    ),
    (How::FindsForwardOnly, &["finding::what_is_found_is_sorted_alike_everywhere"]),
    (How::FindsOnePage, &["finding::pages_go_on_where_the_last_one_ended", "finding::tenants_and_logs_are_apart"]),
    (How::KeepsFirstValues, &["finding::fields_follow_their_documents"]),
    (How::FindsByAnyField, &["finding::a_field_that_a_generation_lacks_is_refused"]),
    (How::CountsPages, &["finding::documents_are_found_by_their_fields"]),
    (How::ValuesWithoutPositions, &["values::what_is_kept_of_documents_is_told_by_key_and_log"]),
    (How::FindsNoStrays, &["values::what_is_kept_of_documents_that_are_not_there_is_told"]),
    (How::FindsStraysOfOnePage, &["values::what_is_kept_of_documents_that_are_not_there_is_told"]),
    (
        How::KeepsNothing,
        &["history::the_base_is_the_newest_that_lies_within", "history::logs_have_histories_of_their_own"],
    ),
    (
        How::HistoryWithoutCurrent,
        &["history::kept_versions_come_before_the_current_one", "history::logs_have_histories_of_their_own"],
    ),
    (
        How::HistoryWithoutBase,
        &["history::a_history_begins_with_its_base", "history::a_history_goes_on_after_a_position"],
    ),
    (
        How::HistoryFromTheOldestBase,
        &["history::a_history_begins_with_its_base", "history::a_history_goes_on_after_a_position"],
    ),
    (How::HistoryIncludesAfter, &["history::a_history_goes_on_after_a_position"]),
    (How::HistoryIgnoresLimits, &["history::a_history_goes_on_after_a_position"]),
    (How::HistorySortsAnswers, &["history::histories_are_in_the_order_of_the_keys"]),
    (
        How::ForgetsNothing,
        &[
            "retention::what_nobody_needs_is_forgotten_and_the_rest_stays",
            "retention::however_it_was_committed_what_is_needed_stays",
            "retention::what_is_kept_late_is_forgotten_in_its_turn",
            "retention::much_is_forgotten_by_and_by",
            "retention::a_past_belongs_to_its_log_and_generation",
        ],
    ),
    (
        How::ForgetsSilently,
        &[
            "retention::what_nobody_needs_is_forgotten_and_the_rest_stays",
            "retention::what_was_forgotten_stays_so_and_a_stale_commit_forgets_nothing",
        ],
    ),
    (How::ForgetsTheBase, &["retention::what_nobody_needs_is_forgotten_and_the_rest_stays"]),
    (How::SharesRetention, &["retention::a_past_belongs_to_its_log_and_generation"]),
    (How::KeepsTheFirst, &["history::a_version_kept_again_is_replaced"]),
];
