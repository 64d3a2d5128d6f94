#include "tests/program/ingest_stream.h"

#include <stdexcept>

#include <boost/json/serialize.hpp>

#include "tests/support/client.h"
#include "tests/support/settings.h"

namespace karma::test {

namespace {

const char* name_of(IngestStream::Mode mode) {
    switch (mode) {
        case IngestStream::Mode::add: return "add";
        case IngestStream::Mode::set: return "set";
        case IngestStream::Mode::replace_series: return "replace_series";
    }
    return "";
}

json::object begin_fields(const IngestStream& stream) {
    json::object fields{{"stream_id", stream.id}, {"mode", name_of(stream.mode)}};
    if (!stream.granularity.is_null()) fields["granularity"] = stream.granularity;
    return fields;
}

}  // namespace

IngestStream IngestStream::random(const std::string& id, const Estate& estate, std::mt19937_64& random) {
    IngestStream stream;
    stream.id = id;
    stream.mode = static_cast<Mode>(random_between(random, 0, 2));
    if (one_in(random, 2)) stream.granularity = "day";
    const bool own_series = stream.mode == Mode::replace_series || one_in(random, 3);
    stream.series = own_series ? estate.series : shared_series[random() % shared_series.size()];
    stream.commits = !one_in(random, 4);
    for (std::uint64_t left = random_between(random, 1, 6); left > 0; --left) {
        Items items = random_items(random, estate.keys, random_between(random, 1, 30),
                                   stream.mode == Mode::add ? 1 : 0);
        if (stream.mode == Mode::add && !own_series) {
            const Items more = random_shared_items(random, random_between(random, 0, 5));
            items.insert(items.end(), more.begin(), more.end());
        }
        stream.chunks.push_back(std::move(items));
    }
    stream.executed.resize(stream.chunks.size());
    return stream;
}

std::string IngestStream::begin_line(std::mt19937_64& random) const {
    json::object fields = begin_fields(*this);
    if (granularity.is_null() && one_in(random, 2)) fields["granularity"] = nullptr;
    return request("ingest.begin", fields);
}

std::string IngestStream::other_begin_line() const {
    json::object fields = begin_fields(*this);
    fields["mode"] = name_of(mode == Mode::add ? Mode::set : Mode::add);
    return request("ingest.begin", fields);
}

std::string IngestStream::chunk_line(std::size_t place, const std::string& of_series,
                                     const Items& items) const {
    return request(
        "ingest.chunk",
        {{"stream_id", id}, {"series", of_series}, {"chunk_seq", place + 1}, {"items", to_json(items)}});
}

std::string IngestStream::commit_line() const { return request("ingest.commit", {{"stream_id", id}}); }

std::string IngestStream::abort_line() const { return request("ingest.abort", {{"stream_id", id}}); }

json::object IngestStream::begun(bool committed) const {
    return {{"stream_id", id},
            {"mode", name_of(mode)},
            {"series", done == 0 ? json::value(nullptr) : json::value(series)},
            {"granularity", granularity},
            {"status", committed ? "already_committed" : "active"},
            {"last_chunk_seq", done}};
}

json::object IngestStream::ended_as(const char* status) const {
    return {{"stream_id", id}, {"status", status}, {"last_chunk_seq", done}};
}

json::object IngestStream::applied(std::size_t place) const {
    std::uint64_t total = 0;
    for (const Operation::Item& item : chunks[place]) total += item.value;
    return {{"stream_id", id},
            {"chunk_seq", place + 1},
            {"skipped", false},
            {"applied", chunks[place].size()},
            {"total", total}};
}

json::object IngestStream::skipped(std::size_t place) const {
    return {{"stream_id", id},           {"chunk_seq", place + 1}, {"skipped", true},
            {"committed", is_committed}, {"applied", 0},           {"total", 0}};
}

void IngestStream::take_chunk_response(std::size_t place, const json::value& response, bool was_done) {
    const bool now = !member(response, "skipped").as_bool();
    const json::object wanted = now ? applied(place) : skipped(place);
    if (response != wanted) throw std::runtime_error("the response had to be " + json::serialize(wanted));
    if (now && was_done) throw std::runtime_error("the chunk was executed before, and is again");
    if (now && ++executed[place] > 1) throw std::runtime_error("the chunk is executed a second time");
}

void IngestStream::take_ending(const json::value& reply) {
    const json::value& response = member(reply, "response");
    const bool success = member(reply, "success").as_bool();
    if (success && response == ended_as(commits ? "committed" : "aborted")) {
        if (++endings_executed > 1) throw std::runtime_error("the stream ends a second time");
    } else if (commits ? response != begun(true) : member(reply, "error_code") != json::value("not_found")) {
        throw std::runtime_error("the stream was to end, or to have ended");
    }
}

}  // namespace karma::test
