#include "tests/program/ingest_producer.h"

#include <algorithm>
#include <stdexcept>
#include <system_error>
#include <utility>

#include <boost/json/serialize.hpp>

#include "tests/support/client.h"
#include "tests/support/settings.h"

namespace karma::test {

namespace {

using Mode = IngestStream::Mode;

Lane::Check wants(json::object response) {
    return [wanted = json::value(std::move(response))](const json::value& reply) {
        if (member(reply, "response") != wanted) {
            throw std::runtime_error("the response had to be " + json::serialize(wanted));
        }
    };
}

IngestStream::Items with_another_value(IngestStream::Items items) {
    ++items.back().value;
    return items;
}

}  // namespace

IngestProducer::IngestProducer(std::uint64_t number, std::uint64_t seed, Ledger& ledger)
    : estate_(number), random_(seed), ledger_(ledger) {}

void IngestProducer::make_stream() {
    std::string id = std::exchange(aborted_id_, "");
    if (id.empty()) id = "stream " + std::to_string(estate_.number) + "-" + std::to_string(streams_);
    ++streams_;
    stream_ = IngestStream::random(id, estate_, random_);
    staged_.clear();
}

void IngestProducer::advance(std::size_t done) {
    for (; stream_->done < done; ++stream_->done) {
        Operation own{Operation::Kind::batch_set, stream_->series, {}, {}};
        if (stream_->mode == Mode::add) own.kind = Operation::Kind::batch_add;
        Operation shared = own;
        for (const Operation::Item& item : stream_->chunks[stream_->done]) {
            (estate_.owns(stream_->series, item.key) ? own : shared).items.push_back(item);
        }
        execute(own, stream_->mode == Mode::replace_series ? staged_ : own_);
        execute(shared, shared_);
    }
}

void IngestProducer::note_commit() {
    const bool known = std::exchange(stream_->is_committed, true);
    if (!known && stream_->mode == Mode::replace_series) {
        own_.erase(stream_->series);
        own_.merge(staged_);
    }
}

void IngestProducer::begin(Lanes& lanes) {
    stream_->begin_sent = true;
    for (std::uint64_t left = random_between(random_, 1, 2); left > 0; --left)
        any(lanes).put(stream_->begin_line(random_), wants(stream_->begun(false)));
    for (Lane& lane : lanes) lane.finish();
    stream_->is_begun = true;
}

void IngestProducer::put_chunk(Lane& lane, std::size_t place, bool may_be_early) {
    const bool was_done = place < stream_->done;
    lane.put(stream_->chunk_line(place), [this, place, may_be_early, was_done](const json::value& reply) {
        const bool early = member(reply, "error_code") == json::value("validation_error");
        if (may_be_early && !was_done && early) return;
        if (member(reply, "success") != json::value(true)) throw std::runtime_error("a success was due");
        stream_->take_chunk_response(place, member(reply, "response"), was_done);
        advance(std::max(stream_->done, place + 1));
    });
    stream_->sent = std::max(stream_->sent, place + 1);
}

void IngestProducer::send_chunks(Lanes& lanes) {
    const std::size_t first = stream_->done;
    const std::size_t end = std::min(stream_->chunks.size(), first + random_between(random_, 1, 3));
    Lane& lane = any(lanes);
    const bool leaves_gap = first + 1 < stream_->chunks.size() && one_in(random_, 3);
    if (leaves_gap) {
        lane.put_refused(stream_->chunk_line(first + 1), "validation_error");
    }
    for (std::size_t place = first; place < end; ++place) {
        put_chunk(lane, place, false);
        if (one_in(random_, 4)) put_chunk(lane, random_between(random_, 0, place), false);
    }
    // On another connection it may come first, and close what was to be a gap.
    if (!leaves_gap && one_in(random_, 2)) {
        put_chunk(any(lanes), random_between(random_, first, end - 1), true);
    }
    any(lanes).flush();
    for (Lane& each : lanes) each.finish();
    if (stream_->done != end) throw std::runtime_error("the stream has not all of its chunks");
}

void IngestProducer::end(Lanes& lanes) {
    const bool again = std::exchange(stream_->ending_sent, true);
    const std::string line = stream_->commits ? stream_->commit_line() : stream_->abort_line();
    for (std::uint64_t left = random_between(random_, 1, 3); left > 0; --left)
        any(lanes).put(line, [this](const json::value& reply) { stream_->take_ending(reply); });
    for (Lane& lane : lanes) lane.finish();
    if (stream_->endings_executed == 0 && !again) throw std::runtime_error(line + " was never executed");
    if (stream_->commits) note_commit();
    repeat_ended(any(lanes));
    if (!stream_->commits && one_in(random_, 2)) aborted_id_ = stream_->id;
    stream_.reset();
}

void IngestProducer::repeat_ended(Lane& lane) {
    const std::size_t place = random_between(random_, 0, stream_->chunks.size() - 1);
    const std::string altered =
        stream_->chunk_line(place, stream_->series, with_another_value(stream_->chunks[place]));
    if (stream_->commits) {
        put_chunk(lane, place, false);
        lane.put(stream_->begin_line(random_), wants(stream_->begun(true)));
        lane.put(stream_->commit_line(), wants(stream_->begun(true)));
        lane.put_refused(altered, "idempotency_conflict");
        lane.put_refused(stream_->other_begin_line(), "idempotency_conflict");
    } else {
        lane.put_refused(stream_->chunk_line(place), "not_found");
        lane.put_refused(stream_->commit_line(), "not_found");
    }
    lane.put_refused(stream_->abort_line(), "not_found");
    lane.finish();
}

void IngestProducer::try_mistakes(Lane& lane) {
    const std::size_t done = stream_->done;
    if (!stream_->begin_sent) lane.put_refused(stream_->chunk_line(0), "not_found");
    if (stream_->is_begun) lane.put_refused(stream_->other_begin_line(), "idempotency_conflict");
    if (done > 0) {
        lane.put_refused(
            stream_->chunk_line(done - 1, stream_->series, with_another_value(stream_->chunks[done - 1])),
            "idempotency_conflict");
    }
    if (stream_->is_begun && done < stream_->chunks.size()) {
        const IngestStream::Items& items = stream_->chunks[done];
        if (done > 0) lane.put_refused(stream_->chunk_line(done, "another", items), "validation_error");
        if (stream_->mode == Mode::add) {
            const IngestStream::Items nothing{{.key = 1, .bucket = 20260105, .value = 0}};
            lane.put_refused(stream_->chunk_line(done, stream_->series, nothing), "validation_error");
        }
        if (stream_->mode == Mode::replace_series && done == 0) {
            lane.put_refused(stream_->commit_line(), "validation_error");
        }
    }
    lane.finish();
}

void IngestProducer::increment(Lane& lane) {
    const Operation operation{
        Operation::Kind::increment, estate_.series, random_items(random_, estate_.keys, 1, 1), {}};
    OpenIncrement made{nullptr, own_};
    json::value response = execute(operation, made.own_after);
    made.request = make_keyed_request(operation, std::move(response), estate_.unique(increments_++), random_);
    ledger_.add(made.request);
    increment_ = std::move(made);
    lane.put_keyed(increment_->request, random_);
    lane.finish();
    close_increment();
}

void IngestProducer::close_increment() {
    if (!increment_ || !increment_->request->acknowledged()) return;
    own_ = std::move(increment_->own_after);
    increment_.reset();
}

void IngestProducer::step(Lanes& lanes) {
    if (!stream_) make_stream();
    if (!stream_->ending_sent && one_in(random_, 6)) try_mistakes(any(lanes));
    if (one_in(random_, 4)) increment(any(lanes));
    if (one_in(random_, 6)) check_own_sum(any(lanes), estate_, own_, random_);
    if (!stream_->is_begun) {
        begin(lanes);
    } else if (stream_->done < stream_->chunks.size()) {
        send_chunks(lanes);
    } else {
        end(lanes);
    }
}

void IngestProducer::run(std::uint16_t port, RunSignals& signals) {
    try {
        Lanes lanes{Lane(port), Lane(port)};
        if (increment_) {
            lanes[0].put_keyed(increment_->request, random_);
            lanes[0].finish();
            close_increment();
        }
        while (!signals.finishing && !signals.failed) {
            step(lanes);
            ++signals.acknowledged;
        }
    } catch (const ConnectionClosed&) {   // NOLINT(bugprone-empty-catch): the crash that is expected
    } catch (const std::system_error&) {  // NOLINT(bugprone-empty-catch): the same, before it could connect
    } catch (const std::exception& error) {
        problem_ = estate_.name() + ": " + error.what();
        signals.failed = true;
    }
}

std::string IngestProducer::ask_where_it_stands(Client& client) {
    // An abort leaves the counters as they are; to ask by begin would make the stream anew.
    if (!stream_ || !stream_->begin_sent || (stream_->ending_sent && !stream_->commits)) return {};
    const json::value reply = client.ask_line(stream_->begin_line(random_));
    const auto wrong = [&](const std::string& what) {
        return estate_.name() + ": " + stream_->id + " " + what + ": " + json::serialize(reply);
    };
    if (member(reply, "success") != json::value(true)) return wrong("cannot be begun again");
    const json::value& response = member(reply, "response");
    const std::uint64_t done = as_number(member(response, "last_chunk_seq"));
    if (done < stream_->done || done > stream_->sent) {
        return wrong("does not stand from chunk " + std::to_string(stream_->done) + " (acknowledged) to " +
                     std::to_string(stream_->sent) + " (sent)");
    }
    advance(done);
    const bool committed = member(response, "status") == json::value("already_committed");
    if (committed && !stream_->ending_sent) return wrong("is committed, which nobody asked for");
    if (response != stream_->begun(committed)) return wrong("is not the stream that was begun");
    stream_->is_begun = true;
    stream_->sent = done;
    stream_->ending_sent = false;
    if (committed) {
        note_commit();
        stream_.reset();
    }
    return {};
}

std::string IngestProducer::settle(Client& client, const State& found, State& least, State& most) {
    close_increment();
    std::string problem = ask_where_it_stands(client);
    if (!problem.empty()) return problem;
    add_points(shared_, least);
    add_points(shared_, most);
    const State own = estate_.part_of(found);
    const std::string difference = first_difference(own_, own);
    const bool incremented = increment_ && increment_->own_after == own;
    return difference.empty() || incremented ? std::string() : estate_.name() + ": " + difference;
}

}  // namespace karma::test
