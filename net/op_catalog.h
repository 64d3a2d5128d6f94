#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "engine/error.h"
#include "net/op.h"

/// What the descriptions of ops share: fields, errors, and parts of decoders.
namespace karma::net {

/// The most bytes that one request can fetch of a file.
inline constexpr std::size_t fetched_bytes_max = 1'048'576;

/// A field that a request of the op must have.
inline OpField needs(const Field& field, std::string_view meaning = {}) {
    return {&field, false, {}, meaning};
}

/// A number that a request of the op must have, within bounds.
inline OpField needs(const Field& field, const Bounds& bounds, std::string_view meaning = {}) {
    return {&field, false, {}, meaning, bounds};
}

/// A field that it can leave out; `otherwise` says what counts then.
inline OpField may(const Field& field, std::string_view otherwise = {}, std::string_view meaning = {}) {
    return {&field, true, otherwise, meaning};
}

/// A number that it can leave out.
inline OpField may(const Field& field, const Bounds& bounds, std::string_view meaning = {}) {
    return {&field, true, {}, meaning, bounds};
}

namespace field {

inline constexpr Field series{"series", "tree", "string", "the series; not empty"};
inline constexpr Field key{"key", {}, "number", "the key of the counter"};
inline constexpr Field bucket{"bucket", "date", "day", "the bucket"};
inline constexpr Field value{"value", {}, "number", "the amount"};
/// `last` says the same in another way: Fields::range reads both.
inline constexpr Field range{"range", "last", "range", "the buckets; give one of the two", "from to"};
inline constexpr Field reply{
    "reply",
    {},
    "string",
    "`value`: the response is the amount; `total`: it also has the sums after the request"};
inline constexpr Field keys{"keys", {}, "array of numbers", "the keys, each for itself: a key may repeat"};
inline constexpr Field items{"items", {}, "array of [key, bucket, value]", "the points"};
inline constexpr Field series_keys{
    "items", {}, "array of {\"series\", \"key\"}", "the counters", "series|tree key"};
inline constexpr Field series_items{"items",
                                    {},
                                    "array of {\"series\", \"key\", \"bucket\", \"value\"}",
                                    "the points",
                                    "series|tree key bucket|date value"};
inline constexpr Field as_of{"as_of", {}, "point in history", "asks for the state as of this point"};
inline constexpr Field before_day{"before", "date", "day", "the first bucket that is kept"};
inline constexpr Field before_time{"before", {}, "time", "what is older is forgotten"};
inline constexpr Field limit{"limit", {}, "number", "how many at most"};
inline constexpr Field cursor{"cursor", {}, "string or null", "`next_cursor` of the page before"};
inline constexpr Field key_cursor{"cursor", {}, "number or null", "only keys above this one"};
inline constexpr Field idempotency_key{
    "idempotency_key", {}, "string, number or null", "executes the request once, however often it is sent"};
inline constexpr Field fingerprint{
    "fingerprint", {}, "string or null", "what the client takes the request's fingerprint for"};
inline constexpr Field stream_id{"stream_id", {}, "string", "the stream, named by its client; not empty"};
inline constexpr Field chunk_seq{"chunk_seq", {}, "number", "the number of the chunk in its stream"};
inline constexpr Field file{"file", {}, "string", "the name of a snapshot's file, as snapshot.list gives it"};
inline constexpr Field offset{"offset", {}, "number", "the first byte"};
inline constexpr Field source{"source", {}, "string", "the name of what is read"};
inline constexpr Field after_lsn{"after_lsn", {}, "number", "only events above this LSN"};
inline constexpr Field node_name{"name", {}, "string", "the name of the node, for people"};
inline constexpr Field node_id{"node_id", {}, "string or null", "the id of the node: 16 hexadecimal digits"};
inline constexpr Field database_id{
    "database_id", {}, "string or null", "the id of the database: 32 hexadecimal digits"};
inline constexpr Field epoch{"epoch", {}, "number", "the number of the epoch"};
inline constexpr Field epoch_id{"epoch_id", {}, "number", "the random id of the epoch"};
inline constexpr Field port{"port", {}, "number", "the port on which the node can be asked; 0: none"};
inline constexpr Field export_id{"export_id", {}, "string", "the export, as export.begin gives it"};

}  // namespace field

/// What counts where `range` or `as_of` is missing.
inline constexpr std::string_view all_buckets = "all buckets";
inline constexpr std::string_view present_state = "the present state";

/// The fields `limit` and `cursor` of an op that gives a list in pages.
inline constexpr Bounds page_bounds{1, 10'000, {}};
/// With a limit of 0 the list is left out.
inline constexpr Bounds page_or_none_bounds{0, 10'000, {}};
inline constexpr Bounds port_bounds{0, 65'535, 0};
inline constexpr Bounds chunk_bounds{1, fetched_bytes_max, 262'144};
inline constexpr Bounds from_zero{0, std::numeric_limits<std::uint64_t>::max(), 0};
/// The greatest epoch that another node may name: the next promotion has to find a greater number.
inline constexpr std::uint64_t foreign_epoch_max = std::numeric_limits<std::uint64_t>::max() - 1;

inline constexpr OpError no_series{ErrorCode::not_found, "the series does not exist"};
inline constexpr OpError too_many_series{ErrorCode::resource_exhausted,
                                         "the series is new, and there are `--max-series` already"};
inline constexpr OpError too_slow{ErrorCode::query_timeout, "it took longer than `--query-timeout-ms`"};
inline constexpr OpError too_long{ErrorCode::response_too_large,
                                  "the reply would be longer than `--max-response-bytes`"};
inline constexpr OpError forgotten_past{ErrorCode::replication_gap,
                                        "`as_of` is before what is kept of the log"};
inline constexpr OpError no_file{ErrorCode::not_found, "there is no such file"};
inline constexpr OpError no_stream{ErrorCode::not_found, "no stream of this id is open or remembered"};
inline constexpr OpError no_export{ErrorCode::not_found, "no export of this id is open"};

/// Throws a validation_error.
[[noreturn]] inline void refuse_request(const std::string& message) {
    throw RequestError(ErrorCode::validation_error, message);
}

/// The field `limit`, within bounds that have a default.
inline std::size_t limit_within(const Fields& fields, const Bounds& bounds) {
    return fields.limit(static_cast<std::size_t>(bounds.otherwise.value_or(bounds.high)),
                        static_cast<std::size_t>(bounds.high));
}

}  // namespace karma::net
