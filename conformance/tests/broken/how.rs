//! The ways in which a store can be broken: each breaks one promise.

macro_rules! ways {
    ($($(#[$doc:meta])* $way:ident,)*) => {
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub(crate) enum How {
            $($(#[$doc])* $way,)*
        }

        impl How {
            pub(crate) const ALL: &'static [How] = &[$(How::$way,)*];
        }
    };
}

ways! {
    /// Not at all.
    Intact,
    // Appending.
    /// Answers every third append as recorded without recording it.
    LosesAppends,
    /// Answers with the position of the last event for the first too.
    AnswersTheWrongPlace,
    /// Records a thousand events of an append at most.
    CutsLargeAppends,
    /// Records an event for a write that has none.
    MarksEmptyWrites,
    /// Takes streams of all tenants for those of one.
    MixesTenants,
    IgnoresConditions,
    IgnoresNoStream,
    IgnoresExists,
    /// Takes any version for the expected one.
    IgnoresVersions,
    IgnoresConditionsOfEmptyWrites,
    /// Takes `Any` for `NoStream`.
    RefusesAny,
    /// Conflicts without the actual version.
    HidesTheActualVersion,
    /// Answers a conflict and records the events.
    RecordsWhatItRefuses,
    IgnoresQueryConditions,
    /// Query conditions look at every event of the tenant.
    WidensQueryConditions,
    /// Query conditions look at the events of every tenant.
    WidensQueryConditionsToAllTenants,
    /// Query conditions look at the event at their cursor too.
    QueryConditionsIncludeTheirCursor,
    /// Query conditions of a whole log are ignored.
    IgnoresQueriesOfAllTenants,
    /// Query conditions fail where there is nothing to look at.
    RefusesQueriesOfNothing,
    /// Takes a cursor beyond the head for an error.
    RefusesCursorsBeyondTheHead,
    /// Appends to one stream after another.
    HalfApplies,
    /// The same, and lets others look in between.
    HalfVisible,
    /// The append after a failed one fails too.
    FailsNeighbours,
    // Keys.
    ForgetsKeys,
    /// Does not keep the outcome of what has no events.
    ForgetsRefusals,
    /// Looks up a key after the conditions on streams.
    LooksUpKeysLate,
    /// Looks up a key after the query condition.
    LooksUpKeysAfterQueries,
    IgnoresFingerprints,
    SharesKeysAmongTenants,
    /// Keeps a conflict under the key.
    RemembersConflicts,
    /// Does not say `already`.
    HidesRepetition,
    // Limits.
    /// Takes payloads of any size.
    TakesLargePayloads,
    /// Repairs input that is to be refused.
    TakesAnything,
    /// Cuts the ids of streams.
    CutsNames,
    // Reading.
    ReadsForwardOnly,
    /// Pages begin with what they should begin after.
    IncludesAfter,
    IgnoresUpTo,
    IgnoresLimits,
    IgnoresBytes,
    NeverEnds,
    AlwaysEnds,
    /// Gives nothing where a page of nothing is asked.
    TakesLimitsByTheLetter,
    /// A page reaches its last event, and nothing where it has none.
    ReachesOnlyWhatMatches,
    /// A page says that it has reached the head, full or not.
    ReachesTooFar,
    /// A page names another event where it stands.
    MarksAnotherEvent,
    IgnoresFilters,
    /// Takes a log that is not there for an empty one.
    InventsLogs,
    /// Events by position come from new to old.
    ReversesPositions,
    /// Events by position come without their tags.
    PositionsWithoutTags,
    /// The last event but one of a log is not visible yet.
    ShowsOutOfOrder,
    /// A log hides every fifth event.
    LeavesGaps,
    /// The head stays at the start.
    HasNoHead,
    /// The head names the first log only.
    HeadsTheFirstLog,
    /// Declares one log more than there is.
    DeclaresTooManyLogs,
    // Content.
    TruncatesPayloads,
    ReformatsPayloads,
    DropsTags,
    DropsMetadata,
    /// Keeps times to the millisecond.
    CutsTimes,
    DropsSchemaVersions,
    /// Compares stream ids without their case.
    FoldsCase,
    /// `recorded_at` goes back.
    GoesBackInTime,
    /// Lives in another year.
    LivesElsewhen,
    /// Says when an event happened, where nobody did.
    InventsTimes,
    // Wake-ups and the end.
    NeverWakes,
    /// Rings before the event is there.
    WakesTooEarly,
    /// Lets those wait who wait for a wake-up when it closes.
    ClosesInSilence,
    /// Goes on after it was closed.
    IgnoresClosing,
    /// The second time it is closed it hangs.
    HangsOnClosingTwice,
    /// Never answers the appends that it had taken when it was closed.
    ForgetsWhatItTook,
    /// An append after closing is never answered.
    HangsAfterClosing,
    /// Another store is opened again.
    ForgetsOnClosing,
    // Snapshots.
    ForgetsSnapshots,
    /// The newest of all, whatever is asked.
    NewestOfAll,
    /// The one with the latest time of happening.
    NewestByHappening,
    NeverReplacesSnapshots,
    NeverPrunes,
    MixesSnapshotSchemas,
    // Read models: commits.
    CommitsOnAnyCheckpoint,
    CommitsInAnyEpoch,
    /// Writes the documents of a stale commit.
    WritesWhatIsStale,
    CommitsNoDocuments,
    /// Writes a thousand documents at most.
    CutsLargeCommits,
    ForgetsWhatItStandsOn,
    /// Answers with an epoch that it does not keep.
    NeverRaises,
    RaisesFromAnyEpoch,
    MixesPartitions,
    MixesLogs,
    /// A stale commit leaves a shard behind.
    StaleMakesAShard,
    ForgetsReports,
    /// Tells a failure after its event was taken.
    KeepsFailures,
    ReportsInAnyEpoch,
    // Read models: leases.
    TakesWhatIsHeld,
    /// Who says something else beside a lease has it from then on.
    ForgetsSince,
    /// Of those who try the last one gets it, though all are told so.
    TakesWhatMoved,
    TakesWithoutRaising,
    /// Raises the epochs of the live generation, whichever is meant.
    RaisesTheLiveOne,
    RaisesThoughRefused,
    /// Makes the generation whose epochs are to rise.
    LeasesMakeGenerations,
    RenewsNothing,
    RenewsWhatIsLost,
    NeverReleases,
    ReleasesWhatIsLost,
    ListsLeasesBackward,
    /// Finds a problem where there is none.
    FindsAProblem,
    FindsAProblemOfReadModels,
    // Read models: generations.
    /// Tells the checkpoint of a shard that has none as if it had one.
    BeginsElsewhere,
    OpensAnother,
    BuildsAnother,
    MixesVersions,
    /// Readers get the newest generation.
    ServesWhatIsBuilt,
    UnsortedProjections,
    SwitchesWhileBehind,
    SwitchesToWhatFailed,
    SwitchesFromAnything,
    SwitchesToAnything,
    /// Answers a switch that it has not done.
    NeverSwitches,
    NeverSwitchesBack,
    /// A switch leaves the epochs as they were.
    SwitchKeepsEpochs,
    /// Answers writes to what was retired as done.
    WritesWhatIsRetired,
    /// Answers as if it had dropped the live generation.
    DropsTheLiveOne,
    /// What was dropped is empty.
    ExpiredIsEmpty,
    /// A generation that is dropped is there again when the next is built.
    GivesNumbersTwice,
    // Read models: what was retired.
    /// Answers as if it had retired a generation.
    NeverRetires,
    /// Forgets until when a generation is kept.
    KeepsForever,
    /// Answers as if it had reopened a generation that is in use.
    ReopensAnything,
    /// Reopening leaves the epochs as they were.
    ReopenKeepsEpochs,
    /// Answers a reopening that it has not done.
    NeverReopens,
    /// Drops nothing by time.
    DropsNothing,
    /// Drops what is kept still.
    DropsWhatIsKept,
    // Read models: documents.
    TruncatesDocuments,
    DropsDocumentPositions,
    /// Answers in the order of the keys, not of the question.
    SortsAnswers,
    ShowsDeleted,
    /// Lists by letters, not by bytes.
    SortsByLetters,
    /// A page of documents is always the last one.
    ListsOnePage,
    /// Leaves deleted documents out after the page was cut.
    HidesDeletedTooLate,
    MixesDocumentTenants,
    KnowsNoOtherTenant,
    /// Reads the live generation whatever is asked.
    ReadsTheLiveOne,
    // Read models: finding.
    /// Takes the first condition for all of them.
    FindsByOneCondition,
    FindsForwardOnly,
    /// Begins each page of what is found with the first document.
    FindsOnePage,
    /// Keeps the first value that a field of a document had.
    KeepsFirstValues,
    /// Has every field that is asked for, without values.
    FindsByAnyField,
    CountsPages,
    /// Tells what documents are found by, and not how they were then.
    ValuesWithoutPositions,
    FindsNoStrays,
    FindsStraysOfOnePage,
    // Read models: history.
    KeepsNothing,
    HistoryWithoutCurrent,
    HistoryWithoutBase,
    HistoryFromTheOldestBase,
    HistoryIncludesAfter,
    HistoryIgnoresLimits,
    HistorySortsAnswers,
    KeepsTheFirst,
    ForgetsNothing,
    ForgetsSilently,
    ForgetsTheBase,
    SharesRetention,
}
