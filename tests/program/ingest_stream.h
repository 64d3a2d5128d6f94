#pragma once

#include <cstddef>
#include <cstdint>
#include <random>
#include <string>
#include <vector>

#include "tests/program/operation.h"
#include "tests/program/points.h"
#include "tests/program/population.h"
#include "tests/support/json.h"

namespace karma::test {

// What one ingest stream is meant to be, its requests, and how far it has come.
struct IngestStream {
    enum class Mode { add, set, replace_series };
    using Items = std::vector<Operation::Item>;

    std::string id;
    Mode mode = Mode::add;
    json::value granularity;  // null or a string
    std::string series;
    std::vector<Items> chunks;
    bool commits = true;  // or is aborted

    bool begin_sent = false;
    bool is_begun = false;
    std::size_t sent = 0;       // chunks that the daemon may have
    std::size_t done = 0;       // chunks that it has
    bool ending_sent = false;   // commit or abort
    bool is_committed = false;  // and the counters are reckoned with accordingly
    std::vector<int> executed;  // of each chunk: the replies that say that it was executed now
    int endings_executed = 0;   // the same of commit or abort

    // A stream with some chunks for the counters of an estate.
    static IngestStream random(const std::string& id, const Estate& estate, std::mt19937_64& random);

    std::string begin_line(std::mt19937_64& random) const;
    // The same stream, begun with other parameters.
    std::string other_begin_line() const;
    std::string chunk_line(std::size_t place) const { return chunk_line(place, series, chunks[place]); }
    std::string chunk_line(std::size_t place, const std::string& of_series, const Items& items) const;
    std::string commit_line() const;
    std::string abort_line() const;

    // Responses.
    json::object begun(bool committed) const;
    json::object ended_as(const char* status) const;

    // Takes a success of a chunk. was_done: whether it was done when it was sent. Throws std::runtime_error
    // saying what is wrong.
    void take_chunk_response(std::size_t place, const json::value& response, bool was_done);
    // The same with the reply to a commit or an abort.
    void take_ending(const json::value& reply);

private:
    json::object applied(std::size_t place) const;
    json::object skipped(std::size_t place) const;
};

}  // namespace karma::test
