#pragma once

#include <chrono>
#include <cstdint>
#include <optional>
#include <set>
#include <span>
#include <string>
#include <string_view>

#include <boost/json/memory_resource.hpp>
#include <boost/json/object.hpp>

#include "engine/mutation.h"
#include "engine/request.h"

namespace karma::net {

/// The fields of a request object, taken by name and checked. Everything throws RequestError
/// `validation_error` with a message that names the field. What is returned borrows from the object or from
/// the arena.
class Fields {
public:
    /// `response_bytes_max`: what a reply may have, 0 for no limit.
    Fields(const boost::json::object& object, boost::json::memory_resource& arena,
           std::size_t response_bytes_max = 0)
        : object_(object), arena_(arena), response_bytes_max_(response_bytes_max) {}

    bool has(std::string_view name) const { return find(name) != nullptr; }

    /// From now on the name of every field that is asked for is noted in `names`, which outlives this: for
    /// the test of what each op takes.
    void note_names(std::set<std::string>& names) noexcept { names_ = &names; }

    /// The field `series`, or `tree`: a string that is not empty.
    std::string_view series() const;

    /// A string that is not empty.
    std::string_view text(std::string_view name) const;

    /// A string or an integer, given as text; nothing where the field is missing or null.
    std::optional<std::string_view> text_or_number(std::string_view name) const;

    /// "true" or "false" for a boolean, or a string; nothing where the field is missing or null.
    std::optional<std::string_view> boolean_or_text(std::string_view name) const;

    std::uint64_t number(std::string_view name) const;
    std::optional<std::uint64_t> optional_number(std::string_view name) const;
    /// Nothing where the field is missing or null.
    std::optional<std::uint64_t> nullable_number(std::string_view name) const;

    /// The field `idempotency_key`: a string or an integer, 1 to 256 bytes; nothing where it is missing or
    /// null.
    std::optional<std::string_view> idempotency_key() const;

    /// The field `fingerprint`, 1 to 512 bytes; empty where it is missing or null.
    std::string_view fingerprint() const;

    /// The field `granularity`; nothing where it is missing or null.
    std::optional<std::string_view> granularity() const;
    /// The field `granularity` of an ingest stream. Behind "day;" a client may say how it cuts its input into
    /// chunks, in 128 bytes altogether: what begins the stream again and says otherwise is another stream.
    std::optional<std::string_view> stream_granularity() const;

    /// Unix seconds, 0 or later: a number, or an RFC 3339 text, of which times before 1970 are read as 0.
    std::int64_t instant(std::string_view name) const;

    /// Unix milliseconds: a number of seconds, or an RFC 3339 text. Without a fraction it stands for its
    /// whole second: the first millisecond of it, or with `last` the last one. Nothing where the field is
    /// missing or null.
    std::optional<std::int64_t> optional_instant_ms(std::string_view name, bool last) const;

    /// The field `as_of`: an LSN, or an RFC 3339 text; nothing where it is missing or null.
    std::optional<HistoryPoint> as_of() const;

    /// 1 to `max`, or `otherwise` where the field is missing.
    std::size_t limit(std::size_t otherwise, std::size_t max) const;

    /// The field `wait_ms`, up to a minute; 0 where it is missing or null.
    std::chrono::milliseconds wait_time() const;

    /// The fields `limit`, from `limit_min` to 10,000, and `cursor`, a string or null. A cursor alone has a
    /// limit of 1,000.
    query::Page page(std::uint64_t limit_min = 1) const;

    /// At least 1; 1 where the field is missing.
    std::uint64_t value() const;

    /// The field `reply`: true for "total", false for "value" or where it is missing.
    bool shows_totals() const;

    /// The field `bucket`, or `date`; `today` where both are missing.
    Day bucket() const;

    /// The day in the first field of the two that is there.
    Day day(std::string_view name, std::string_view other_name) const;

    /// The field `range`: two days, or the name of a period; or the field `last`: "30d".
    Period range() const;
    std::optional<Period> optional_range() const;

    std::span<const std::uint64_t> keys() const { return numbers("keys"); }
    std::span<const std::uint64_t> numbers(std::string_view name) const;
    /// `[[key, bucket, value], ...]`
    std::span<const mutation::Item> items(std::uint64_t value_min) const;
    /// `[{"series", "key", "bucket", "value"}, ...]`, at least one; a day of `today` where there is no
    /// bucket, and 1 where there is no value.
    std::span<const mutation::SeriesItem> series_items() const;
    /// `[{"series", "key"}, ...]`
    std::span<const query::SeriesKey> series_keys() const;

    /// Base name of a `.tree` file.
    std::string_view snapshot_file() const;

    std::size_t response_bytes_max() const noexcept { return response_bytes_max_; }

    /// Memory that lives as long as what is returned.
    boost::json::memory_resource& arena() const noexcept { return arena_; }

private:
    /// Null where the request has no such field.
    const boost::json::value* find(std::string_view name) const {
        if (names_ != nullptr) names_->emplace(name);
        return object_.if_contains(name);
    }
    const boost::json::value& required(std::string_view name) const;
    const boost::json::array& array(std::string_view name) const;

    template <typename T>
    std::span<T> allocate(std::size_t count) const {
        return {static_cast<T*>(arena_.allocate(count * sizeof(T) + 1, alignof(T))), count};
    }

    const boost::json::object& object_;
    boost::json::memory_resource& arena_;
    std::size_t response_bytes_max_;
    std::set<std::string>* names_ = nullptr;
};

}  // namespace karma::net
