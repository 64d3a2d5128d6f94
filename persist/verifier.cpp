#include "persist/verifier.h"

#include <algorithm>
#include <unordered_set>

#include "engine/error.h"
#include "engine/event_codec.h"
#include "persist/log_search.h"
#include "persist/record_store.h"
#include "persist/restore.h"

namespace karma {

Verifier::Verifier(const Storage& storage, const SnapshotStore& snapshots, std::uint64_t hash_seed,
                   std::function<void(double)> progress)
    : storage_(storage), snapshots_(snapshots), hash_seed_(hash_seed), progress_(std::move(progress)) {}

Verification Verifier::run() {
    std::uint64_t snapshot_bytes = 0;
    std::uint64_t full = 1;
    for (const SnapshotStore::ManifestRef& manifest : snapshots_.manifests()) {
        full += manifest->full ? 1 : 0;
        for (const SnapshotSeries& entry : manifest->series) {
            snapshot_bytes += entry.bytes;
        }
    }
    bytes_in_all_ = snapshot_bytes * 2 + storage_.log_bytes() * (1 + full) + 1;
    for (const std::string& damage : snapshots_.damaged_manifests()) {
        found_.damage.push_back(damage);
    }
    check_snapshots();
    check_log();
    check_records();
    rebuild();
    progress_(1);
    return std::move(found_);
}

void Verifier::try_to(const std::function<void()>& work) {
    try {
        work();
    } catch (const std::exception& failure) {
        if (std::ranges::find(found_.damage, failure.what()) == found_.damage.end()) {
            found_.damage.emplace_back(failure.what());
        }
    }
}

void Verifier::advance(std::uint64_t bytes) {
    bytes_done_ += bytes;
    progress_(std::min(1.0, static_cast<double>(bytes_done_) / static_cast<double>(bytes_in_all_)));
}

void Verifier::check_snapshots() {
    std::unordered_set<std::uint64_t> seen;
    for (const SnapshotStore::ManifestRef& manifest : snapshots_.manifests()) {
        ++found_.snapshots;
        const auto check = [&](const SnapshotSeries& entry) {
            ++found_.snapshot_series;
            try_to([&] { static_cast<void>(snapshots_.load(*manifest, entry)); });
            try_to([&] {
                for (const StoredPage& page : snapshots_.pages(*manifest, entry)) {
                    if (seen.insert(page.id).second) {
                        ++found_.pages;
                        found_.page_bytes += page.bytes;
                    }
                }
            });
            advance(entry.bytes);
        };
        std::ranges::for_each(manifest->series, check);
        std::ranges::for_each(manifest->staged, check);
    }
}

void Verifier::check_log() {
    Lsn expected = 0;
    try_to([&] {
        storage_.read_log(0, [&](const EventGroup& group) {
            if (expected == 0) {
                found_.first_lsn = group.first_lsn;
                unbroken_from_ = group.first_lsn;
            } else if (group.first_lsn != expected) {
                // A time without a log ends with a snapshot of everything, and is recorded.
                if (std::max(snapshots_.last_full_lsn() + 1, read_unbroken_lsn(storage_)) < group.first_lsn) {
                    found_.damage.push_back("event log: the events from LSN " + std::to_string(expected) +
                                            " to " + std::to_string(group.first_lsn - 1) + " are missing");
                }
                unbroken_from_ = group.first_lsn;
            }
            try_to([&] {
                const EventGroupInfo info = read_group(group, [](const Event&) {});
                if (info.first_lsn != group.first_lsn || info.count != group.count) {
                    throw CorruptionError("event log: the group at LSN " + std::to_string(group.first_lsn) +
                                          " does not hold the events that its key says");
                }
            });
            expected = group.first_lsn + group.count;
            log_end_ = expected - 1;
            ++found_.groups;
            found_.events += group.count;
            found_.log_bytes += group.bytes.size();
            advance(group.bytes.size());
            return true;
        });
    });
}

void Verifier::check_records() {
    try_to([&] {
        Lsn last = 0;
        read_idempotency_records(storage_, [&](std::span<const IdempotencyRecord> records) {
            for (const IdempotencyRecord& record : records) {
                if (record.lsn <= last) {
                    throw CorruptionError("idempotency records: LSN " + std::to_string(record.lsn) +
                                          " comes after " + std::to_string(last));
                }
                last = record.lsn;
            }
            found_.idempotency_records += records.size();
            return true;
        });
    });
    try_to([&] {
        read_committed_streams(storage_, std::numeric_limits<Lsn>::max(),
                               [&](const StreamInfo&) { ++found_.committed_streams; });
    });
}

void Verifier::rebuild() {
    // From each snapshot of everything, and from none where the log reaches back to the first event.
    std::vector<Lsn> bases;
    for (const SnapshotStore::ManifestRef& manifest : snapshots_.manifests()) {
        if (manifest->full) {
            bases.push_back(manifest->lsn);
        }
    }
    if (bases.empty() || unbroken_from_ == 1) {
        bases.push_back(0);
    }
    bases.erase(std::unique(bases.begin(), bases.end()), bases.end());
    for (const Lsn base : bases) {
        // From one before a time without a log, or in it, nothing leads to the newest.
        const bool is_led_on = unbroken_from_ != 0 && base + 1 >= unbroken_from_ && log_end_ >= bases.front();
        if (base != bases.front() && !is_led_on) {
            continue;
        }
        try_to([&] {
            NullSink sink;
            Engine engine(hash_seed_, sink);
            const Restored restored = restore_state(engine, storage_, snapshots_, NoDeadline(), {}, base);
            for (const std::string& damage : restored.damaged) {
                try_to([&] { throw CorruptionError(damage); });
            }
            const std::string digest = engine.view().digest(NoDeadline()).text();
            if (found_.rebuilt == 0) {
                found_.digest = digest;
                epochs_ = engine.epochs();
                found_.last_lsn = engine.last_lsn();
                found_.series = engine.series_count();
                found_.keys = engine.key_count();
            } else if (digest != found_.digest || engine.last_lsn() != found_.last_lsn) {
                throw CorruptionError("the state from the snapshot at LSN " + std::to_string(base) +
                                      " and the log is another one: digest " + digest + " at LSN " +
                                      std::to_string(engine.last_lsn()) + " instead of " + found_.digest +
                                      " at LSN " + std::to_string(found_.last_lsn));
            }
            if (engine.epochs() != epochs_) {
                throw CorruptionError("the state from the snapshot at LSN " + std::to_string(base) +
                                      " and the log has other epochs than the newest snapshot");
            }
            ++found_.rebuilt;
        });
        advance(storage_.log_bytes());
    }
}

}  // namespace karma
