#include <limits>

#include "cli/option_table.h"
#include "cli/option_values.h"

namespace karma::cli {

namespace {

OptionSection durability_section() {
    return {"Durability",
            "wal",
            {
                {.name = "wal",
                 .short_name = 'w',
                 .variable = "KARMA_WAL",
                 .argument = "BOOL",
                 .value = boolean([](auto& o) -> auto& { return o.database.wal; }),
                 .help = "write events to the log before they are acknowledged; without the log only "
                         "snapshots survive"},
                {.name = "wal-fsync",
                 .variable = "KARMA_WAL_FSYNC",
                 .argument = "BOOL",
                 .value = boolean([](auto& o) -> auto& { return o.database.wal_fsync; }),
                 .help = "sync the log before an acknowledgement; false only passes it to the "
                         "operating system"},
                {.name = "wal-segment-bytes",
                 .variable = "KARMA_WAL_SEGMENT_BYTES",
                 .argument = "BYTES",
                 .value = whole_number(
                     [](auto& o) -> auto& { return o.database.wal_segment_bytes; }, 65'536, option_bytes_max,
                     true),
                 .help = "with RocksDB: when its write-ahead files pass this size, their contents "
                         "are written to table files and new ones are begun; 0 for no limit"},
                {.name = "wal-batch-size",
                 .variable = "KARMA_WAL_BATCH_SIZE",
                 .argument = "N",
                 .value = whole_number(
                     [](auto& o) -> auto& { return o.database.wal_batch_size; }, 1, 1'000'000),
                 .help = "the most events in a commit group"},
                {.name = "wal-batch-wait-us",
                 .variable = "KARMA_WAL_BATCH_WAIT_MICROSECONDS",
                 .argument = "US",
                 .value = whole_number(
                     [](auto& o) -> auto& { return o.database.wal_batch_wait_us; }, 0, 1'000'000),
                 .help = "batching delay: how many microseconds a commit group that is not full "
                         "waits for more events; 0 commits as soon as the commit before is done"},
            }};
}

OptionSection history_section() {
    return {"Snapshots and history",
            "history",
            {
                {.name = "restore-from",
                 .variable = "KARMA_RESTORE_FROM",
                 .argument = "LSN",
                 .value = whole_number(
                     [](auto& o) -> auto& { return o.database.restore_from; }, 0,
                     std::numeric_limits<Lsn>::max()),
                 .help = "restore from the snapshot at this LSN or an older one, and from more of "
                         "the log, when a newer snapshot is damaged; 0 uses the log alone",
                 .default_text = "the newest"},
                {.name = "snapshot-interval-seconds",
                 .variable = "KARMA_SNAPSHOT_INTERVAL_SECONDS",
                 .argument = "SECONDS",
                 .value = whole_number(
                     [](auto& o) -> auto& { return o.database.snapshot_interval_s; }, 0, option_seconds_max),
                 .help = "time between snapshots of all series; none is made when nothing has "
                         "changed; 0 for none"},
                {.name = "event-retention-seconds",
                 .variable = "KARMA_EVENT_RETENTION_SECONDS",
                 .argument = "SECONDS",
                 .value = whole_number(
                     [](auto& o) -> auto& { return o.database.event_retention_s; }, 0, option_seconds_max),
                 .help = "older events are dropped, except those that the oldest snapshot needs; 0 "
                         "for no limit"},
                {.name = "event-retention-bytes",
                 .variable = "KARMA_EVENT_RETENTION_BYTES",
                 .argument = "BYTES",
                 .value = whole_number(
                     [](auto& o) -> auto& { return o.database.event_retention_bytes; }, 0, option_bytes_max),
                 .help = "the oldest events are dropped while the log takes more, except those that "
                         "the oldest snapshot needs; 0 for no limit"},
                {.name = "dump-retention-per-tree",
                 .variable = "KARMA_DUMP_RETENTION_PER_TREE",
                 .argument = "N",
                 .value = whole_number(
                     [](auto& o) -> auto& { return o.database.snapshots_retained; }, 1, 1'000'000),
                 .help = "snapshots that are kept of each series"},
            }};
}

}  // namespace

std::vector<OptionSection> storage_option_sections() { return {durability_section(), history_section()}; }

}  // namespace karma::cli
