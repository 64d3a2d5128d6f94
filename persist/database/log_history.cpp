#include "persist/database/log_history.h"

#include <limits>
#include <optional>
#include <utility>

#include "persist/identity.h"
#include "persist/log_search.h"
#include "persist/meta_numbers.h"
#include "persist/restore.h"

namespace karma {
namespace {

constexpr const char* base_mark_key = "base_mark";  // LSN and checksum of the event before the log

}  // namespace

class LogHistory::Pin final : public LogPin {
public:
    Pin(Pins& pins, Lsn lsn) : pins_(pins) {
        const std::lock_guard lock(pins_.mutex);
        place_ = pins_.lsns.insert(lsn);
    }
    ~Pin() override {
        const std::lock_guard lock(pins_.mutex);
        pins_.lsns.erase(place_);
    }

    void advance(Lsn lsn) override {
        const std::lock_guard lock(pins_.mutex);
        if (lsn > *place_) {
            pins_.lsns.erase(place_);
            place_ = pins_.lsns.insert(lsn);
        }
    }

private:
    Pins& pins_;
    std::multiset<Lsn>::iterator place_;
};

LogHistory::LogHistory(const DatabaseOptions& options, LiveState& live, Storage& storage,
                       SnapshotStore& snapshots)
    : options_(options), live_(live), storage_(storage), snapshots_(snapshots) {}

RecordChange LogHistory::base_mark_change(const HistoryMark& mark) {
    return meta_numbers_change(base_mark_key, {mark.lsn, mark.checksum.value()});
}

HistoryMarks LogHistory::marks() const {
    const std::lock_guard lock(marks_mutex_);
    return marks_;
}

void LogHistory::set_marks(HistoryMarks marks) {
    const std::lock_guard lock(marks_mutex_);
    marks_ = std::move(marks);
}

HistoryMark LogHistory::mark_at(Lsn lsn) const {
    HistoryMark mark{lsn, std::nullopt};
    if (lsn == 0) {
        mark.checksum = 0;
        return mark;
    }
    const auto kept = snapshots_.keep_state();
    storage_.read_log(lsn, [&](const EventGroup& group) {
        if (group.first_lsn <= lsn) {
            read_group(group, [&](const Event& event) {
                if (event.lsn == lsn) {
                    mark.checksum = checksum_of(event);
                }
            });
        }
        return false;
    });
    if (!mark.checksum) {
        const std::lock_guard lock(marks_mutex_);
        mark.checksum = marks_.checksum_at(lsn);
    }
    if (!mark.checksum) {
        const auto base = read_meta_numbers(storage_, base_mark_key, 2);
        if (base && base->front() == lsn) {
            mark.checksum = static_cast<std::uint32_t>(base->back());
        }
    }
    return mark;
}

Lsn LogHistory::first_kept_lsn() const {
    const auto kept = snapshots_.keep_state();
    const Lsn first = karma::first_kept_lsn(storage_);
    return first == 0 ? storage_.next_lsn() : first;
}

void LogHistory::read_log(Lsn from, const std::function<bool(const EventGroup&)>& visit) const {
    const auto kept = snapshots_.keep_state();
    const Lsn durable = live_.durable_lsn();
    storage_.read_log(from, [&](const EventGroup& group) {
        return group.first_lsn + group.count - 1 <= durable && visit(group);
    });
}

std::unique_ptr<LogPin> LogHistory::pin(Lsn lsn) {
    if (options_.wal && !options_.wal_fsync && !storage_.read(Table::meta, may_lose_key)) {
        // Who reads the log may have events that a loss of power takes back here.
        const RecordChange change{Table::meta, may_lose_key, "1"};
        storage_.write(std::span(&change, 1), true);
    }
    // Not while what it pins is being dropped.
    const DroppingLock lock = lock_dropping();
    return std::make_unique<Pin>(pins_, lsn);
}

Lsn LogHistory::first_pinned_lsn() const {
    const std::lock_guard lock(pins_.mutex);
    return pins_.lsns.empty() ? std::numeric_limits<Lsn>::max() : *pins_.lsns.begin() + 1;
}

HistoryMarks LogHistory::marks_up_to(Lsn lsn) const {
    HistoryMarks marks = this->marks();
    marks.extend(first_kept_lsn(), lsn + 1, [this](Lsn at) { return mark_at(at).checksum; });
    return marks;
}

void LogHistory::mark_erased(Lsn end) {
    HistoryMarks marks = this->marks();
    marks.extend(karma::first_kept_lsn(storage_), end, [this](Lsn lsn) { return mark_at(lsn).checksum; });
    const RecordChange change = marks_change(marks);
    storage_.write(std::span(&change, 1), true);
    set_marks(std::move(marks));
}

}  // namespace karma
