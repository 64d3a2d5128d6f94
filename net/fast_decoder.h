#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <string_view>
#include <vector>

#include <boost/json/memory_resource.hpp>

#include "engine/request.h"
#include "net/access.h"
#include "net/call.h"
#include "net/op.h"

namespace karma::net {

/// Days that were read lately, by the number that they were written as.
class DayCache {
public:
    /// As day_from_yyyymmdd.
    std::optional<Day> find(std::uint64_t yyyymmdd) noexcept {
        Entry& entry = entries_[yyyymmdd % entries_.size()];
        if (entry.yyyymmdd != yyyymmdd) {
            const std::optional<Day> day = day_from_yyyymmdd(yyyymmdd);
            if (!day) {
                return std::nullopt;
            }
            entry = {yyyymmdd, *day};
        }
        return entry.day;
    }

private:
    struct Entry {
        std::uint64_t yyyymmdd = 1'01'01;
        Day day = 0;  // which is that day
    };
    std::array<Entry, 256> entries_;
};

/// Reads the common requests in one pass, without building a document: flat objects with the usual fields in
/// any order, plain numbers, strings without escapes or characters beyond ASCII.
///
/// It accepts only what the general path accepts, with the same result, and never refuses anything: whatever
/// is unusual or wrong gives false and leaves request and call as they were, and the general path decides.
/// Texts of the request point into the line, arrays into the arena.
///
/// One per thread.
class FastDecoder {
public:
    /// `access` outlives the decoder.
    explicit FastDecoder(const Access& access) : access_(access) {}

    bool decode(std::string_view line, bool accepts_writes, boost::json::memory_resource& arena,
                Request& request, Call& call);

private:
    const Access& access_;
    DayCache days_;
};

/// The ops that are read fast. Which fields a request of theirs can have follows from their descriptions: of
/// those that the op takes, the ones that the fast decoder can read.
std::vector<const Op*> fast_ops();

/// Whether the fast decoder can read a field of net/op_catalog.h.
bool is_read_fast(const Field& field) noexcept;

/// A mutation with its key; a copy of the mutation is made in the arena.
KeyedMutation make_keyed(const Mutation& body, std::string_view key, std::string_view fingerprint,
                         boost::json::memory_resource& arena);

}  // namespace karma::net
