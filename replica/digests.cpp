#include "replica/digests.h"

#include <set>
#include <tuple>
#include <vector>

#include <msgpack.hpp>

#include "engine/msgpack_bytes.h"
#include "replica/channel.h"

namespace karma::replica {
namespace {

using EncodedDigest = std::tuple<std::uint64_t, std::uint64_t>;
/// Count and sum of the idempotency records; nothing where they are not known.
using EncodedRecords = std::vector<std::uint64_t>;
/// Those of versions before the last field read what they know of it, and write a shorter one.
using EncodedDigests = std::tuple<Lsn, EncodedDigest, std::map<std::string, EncodedDigest>, EncodedRecords>;

EncodedDigest encoded(const Digest& digest) { return {digest.low, digest.high}; }
EncodedRecords encoded(const std::optional<RecordsDigest>& records) {
    return records ? EncodedRecords{records->count, records->sum.low, records->sum.high} : EncodedRecords();
}

/// A name may be as long as a request.
std::string shortened(const std::string& name) {
    constexpr std::size_t bytes_max = 200;
    if (name.size() <= bytes_max) {
        return name;
    }
    std::size_t end = bytes_max;
    while (end > 0 && (static_cast<unsigned char>(name[end]) & 0xC0U) == 0x80U) {
        --end;  // not in the middle of a character
    }
    return name.substr(0, end) + "...";
}

Digest decoded(const EncodedDigest& digest) { return {std::get<0>(digest), std::get<1>(digest)}; }
std::optional<RecordsDigest> decoded(const EncodedRecords& records) {
    if (records.size() < 3) {
        return std::nullopt;
    }
    return RecordsDigest{records[0], {records[1], records[2]}};
}

}  // namespace

Digest Digests::total() const noexcept {
    Digest sum = beside;
    for (const auto& [name, digest] : series) {
        sum += digest;
    }
    return sum;
}

Digest Digests::rest() const noexcept {
    Digest sum = beside;
    sum += epochs;
    return sum;
}

Digests digests_of(const StateView& view, const Deadline& deadline) {
    Digests digests;
    digests.lsn = view.lsn;
    digests.beside = view.digest_beside_series(deadline);
    digests.epochs = view.digest_of_history();
    for (const SeriesView& series : view.series) {
        digests.series.emplace(series.name(), scan_digest(series, deadline));
    }
    digests.records = view.records;
    return digests;
}

std::string write_digests(const Digests& digests) {
    EncodedDigests all{digests.lsn, encoded(digests.rest()), {}, encoded(digests.records)};
    for (const auto& [name, digest] : digests.series) {
        std::get<2>(all).emplace(name, encoded(digest));
    }
    msgpack::sbuffer buffer;
    msgpack::pack(buffer, all);
    return {buffer.data(), buffer.size()};
}

Digests read_digests(std::string_view payload) {
    EncodedDigests all;
    try {
        unpack_stored(payload).get().convert(all);
    } catch (const std::exception& failure) {
        throw ChannelError(std::string("a frame of digests cannot be read: ") + failure.what());
    }
    Digests digests{std::get<0>(all), decoded(std::get<1>(all)), {}, decoded(std::get<3>(all))};
    for (const auto& [name, digest] : std::get<2>(all)) {
        digests.series.emplace(name, decoded(digest));
    }
    return digests;
}

std::string difference(const Digests& here, const Digests& there) {
    std::set<std::string> names;
    for (const auto& [name, digest] : here.series) {
        const auto other = there.series.find(name);
        if (other == there.series.end() || !(other->second == digest)) {
            names.insert(name);
        }
    }
    for (const auto& [name, digest] : there.series) {
        if (!here.series.contains(name)) {
            names.insert(name);
        }
    }
    constexpr std::size_t shown_max = 10;
    std::string text;
    std::size_t shown = 0;
    for (const std::string& name : names) {
        if (shown == shown_max) {
            text += " and " + std::to_string(names.size() - shown) + " more";
            break;
        }
        text += (shown++ == 0 ? "series \"" : ", \"") + shortened(name) + "\"";
    }
    if (!(here.rest() == there.rest())) {
        text += std::string(text.empty() ? "" : ", and ") + "checkpoints, ingest streams or epochs";
    }
    if (here.records && there.records && !(*here.records == *there.records)) {
        text += std::string(text.empty() ? "" : ", and ") + "idempotency records (" +
                std::to_string(here.records->count) + " here, " + std::to_string(there.records->count) +
                " there)";
    }
    return text;
}

}  // namespace karma::replica
