#include "persist/history_marks.h"

#include <algorithm>
#include <bit>
#include <limits>

#include "engine/error.h"
#include "persist/keys.h"

namespace karma {
namespace {

constexpr std::size_t number_bytes = 8;
constexpr std::size_t checksum_bytes = 4;

[[noreturn]] void damaged(const char* what) {
    throw CorruptionError(std::string("the marks of the history are damaged: ") + what);
}

}  // namespace

std::optional<std::uint32_t> HistoryMarks::checksum_at(Lsn lsn) const noexcept {
    const auto at = std::ranges::lower_bound(marks_, lsn, {}, &Mark::lsn);
    return at != marks_.end() && at->lsn == lsn ? std::optional(at->checksum) : std::nullopt;
}

void HistoryMarks::widen() {
    spacing_ *= 2;
    std::erase_if(marks_, [this](const Mark& mark) { return mark.lsn % spacing_ != 0; });
}

void HistoryMarks::extend(Lsn begin, Lsn end,
                          const std::function<std::optional<std::uint32_t>(Lsn)>& checksum_at) {
    begin = std::max<Lsn>(begin, marks_.empty() ? 1 : marks_.back().lsn + 1);
    if (begin >= end) {
        return;
    }
    // So that no checksum is looked up that would be dropped at once.
    constexpr Lsn spacing_max = Lsn{1} << 63U;
    while (spacing_ < spacing_max && marks_.size() + (end - begin) / spacing_ > marks_max) {
        widen();
    }
    for (Lsn lsn = begin + (spacing_ - begin % spacing_) % spacing_; lsn >= begin && lsn < end;
         lsn += spacing_) {
        if (const std::optional<std::uint32_t> checksum = checksum_at(lsn)) {
            marks_.push_back({lsn, *checksum});
        }
        if (std::numeric_limits<Lsn>::max() - lsn < spacing_) {
            break;
        }
    }
    while (spacing_ < spacing_max && marks_.size() > marks_max) {
        widen();
    }
}

std::string HistoryMarks::encoded() const {
    std::string bytes;
    append_big_endian(bytes, spacing_);
    for (const Mark& mark : marks_) {
        append_big_endian(bytes, mark.lsn);
        append_big_endian(bytes, mark.checksum, checksum_bytes);
    }
    return bytes;
}

HistoryMarks HistoryMarks::decoded(std::string_view bytes) {
    constexpr std::size_t mark_bytes = number_bytes + checksum_bytes;
    if (bytes.size() < number_bytes || (bytes.size() - number_bytes) % mark_bytes != 0 ||
        (bytes.size() - number_bytes) / mark_bytes > marks_max) {
        damaged("they have a wrong size");
    }
    HistoryMarks marks;
    marks.spacing_ = from_big_endian(bytes.substr(0, number_bytes));
    if (!std::has_single_bit(marks.spacing_)) {
        damaged("their spacing is no power of two");
    }
    for (std::size_t at = number_bytes; at < bytes.size(); at += mark_bytes) {
        const Lsn lsn = from_big_endian(bytes.substr(at, number_bytes));
        if (lsn == 0 || lsn % marks.spacing_ != 0 || (!marks.marks_.empty() && lsn <= marks.marks_.back().lsn)) {
            damaged("they are not in order");
        }
        marks.marks_.push_back({lsn, static_cast<std::uint32_t>(from_big_endian(
                                         bytes.substr(at + number_bytes, checksum_bytes)))});
    }
    return marks;
}

}  // namespace karma
