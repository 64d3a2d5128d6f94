#include "net/request_pipeline.h"

#include <algorithm>
#include <new>
#include <utility>

#include "net/time_limit.h"

namespace karma::net {
namespace {

using Clock = std::chrono::steady_clock;

constexpr std::size_t batch_lines_max = 256;
/// A scan of this much is quicker done at once than handed to another thread.
constexpr std::size_t inline_task_bytes_max = 256 * 1024;

constexpr const char* replies_full_text =
    "The memory for replies is used up by clients that do not take theirs (--max-reply-memory): ask again "
    "later, or for less";
constexpr const char* requests_full_text =
    "The memory for requests is used up by others (--max-request-bytes bounds each): send it again later";
constexpr const char* out_of_memory_text = "There is not enough memory for this request: nothing was changed";

constexpr const char* log_failed_text = "The event log could not be written: this may or may not be stored";

Reply run(Task& task, const Deadline& deadline) {
    try {
        deadline.check();  // it may have waited long
        return task.run(deadline);
    } catch (const RequestError& refused) {
        return Error{refused.code(), refused.what()};
    } catch (const std::exception& failure) {
        return Error{ErrorCode::internal_error, failure.what()};
    }
}

/// Whether a line is one of those with which an HTTP request begins, of any version: a request line, or
/// a header that each one has.
bool is_http(std::string_view line) noexcept {
    const auto lower = [](char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c; };
    constexpr std::string_view host = "host:";
    if (line.size() >= host.size() && std::ranges::equal(line.substr(0, host.size()), host, {}, lower)) {
        return true;
    }
    // METHOD, a target, HTTP/ and a number.
    const std::size_t method = line.find(' ');
    const std::size_t version = line.rfind(" HTTP/");
    return method != 0 && method != std::string_view::npos && version != std::string_view::npos &&
           version >= method &&
           std::ranges::all_of(line.substr(0, method), [](char c) { return c >= 'A' && c <= 'Z'; });
}

void count_reply(const std::optional<ErrorCode>& error, Stats& stats) noexcept {
    if (error) {
        Stats::add(stats.errors, 1);
        if (*error == ErrorCode::query_timeout) {
            Stats::add(stats.query_timeouts, 1);
        }
    }
}

void count_commands(std::uint32_t count, Clock::duration spent, Stats& stats) noexcept {
    const auto ns =
        static_cast<std::uint64_t>(std::chrono::duration_cast<std::chrono::nanoseconds>(spent).count());
    Stats::add(stats.commands, count);
    Stats::add(stats.busy_ns, ns);
    stats.last_command_ns.store(ns / count, std::memory_order_relaxed);
}

}  // namespace

std::string run_task(Task& task, const Deadline& deadline, const ReplyWriter& writer, Stats& stats) {
    const Clock::time_point begin = Clock::now();
    constexpr std::size_t bytes_of_error = 512;
    std::string line;
    line.reserve(bytes_of_error);  // now, as there may be no memory later
    try {
        count_reply(writer.write(run(task, deadline), Repetition::no_key, deadline, line), stats);
    } catch (const std::bad_alloc&) {
        line.clear();
        ReplyWriter::write_error({ErrorCode::internal_error, "Out of memory"}, line);
        count_reply(ErrorCode::internal_error, stats);
    }
    count_commands(1, Clock::now() - begin, stats);
    return line;
}

RequestPipeline::RequestPipeline(PipelineHost& host, const PipelineContext& context)
    : host_(host),
      context_(context),
      input_(context.options.request_bytes_max, context.request_memory),
      is_known_(context.options.auth_token.empty() && context.options.read_auth_token.empty()),
      reply_memory_(context.reply_memory) {}

ReplyQueue::Progress RequestPipeline::progress() const noexcept {
    // The generation last: where it is still the same, the LSNs are of it.
    const Lsn durable_lsn = context_.executor.durable_lsn();
    const Lsn acked_lsn = context_.executor.acked_lsn();
    return {durable_lsn, acked_lsn, context_.executor.generation()};
}

// ---- requests

bool RequestPipeline::process(Time now) {
    try {
        return process_all(now);
    } catch (...) {
        // Others use the batch next; the connection of this one is closed.
        context_.batch.outcomes.clear();
        context_.decoder.release();
        throw;
    }
}

bool RequestPipeline::process_all(Time now) {
    work_begin_ = now;
    bool is_uncommitted = false;
    is_paused_ = false;
    answer_rest(now);
    while (takes_input() && !is_paused_ && decode_lines()) {
        received_ = now;
        is_uncommitted = execute() || is_uncommitted;
        answer_batch();
        is_paused_ = is_paused_ || (takes_input() && !input_.empty() && has_worked_long(now));
    }
    return is_uncommitted;
}

bool RequestPipeline::decode_lines() {
    Batch& batch = context_.batch;
    batch.requests.clear();
    batch.refused.clear();
    batch_request_bytes_ = 0;
    batch_ended_ = false;
    const bool accepts_writes = context_.executor.accepts_writes();
    std::string_view line;
    while (!batch_ended_ && batch.lines() < batch_lines_max &&
           batch_request_bytes_ <= waiting_request_bytes_max && input_.take(line)) {
        decode_line(line, accepts_writes);
    }
    return batch.lines() != 0;
}

void RequestPipeline::decode_line(std::string_view line, bool accepts_writes) {
    if (line.size() > context_.options.request_bytes_max) {
        refuse({ErrorCode::request_too_large,
                "Request exceeds " + std::to_string(context_.options.request_bytes_max) + " bytes"});
        refuse_rest();
        return;
    }
    Batch& batch = context_.batch;
    Request& request = batch.requests.emplace_back();
    std::optional<Error> refused;
    try {
        refused = context_.decoder.decode(line, accepts_writes, request);
    } catch (const std::bad_alloc&) {
        refused = Error{ErrorCode::internal_error, out_of_memory_text};
    }
    is_known_ = is_known_ || !refused;
    if (refused) {
        batch.requests.pop_back();
        refuse_line(line, std::move(*refused));
    } else if (keep_subscription(request)) {
        batch.requests.pop_back();
        batch_ended_ = true;
    } else if (needs_records(request) && !context_.executor.has_records()) {
        batch.requests.pop_back();
        input_.put_back(line);
        batch_ended_ = true;
        awaits_records_ = true;
        host_.await_records();
        return;
    } else if (has_to_pause(request)) {
        batch.requests.pop_back();
        input_.put_back(line);
        batch_ended_ = true;
        is_paused_ = true;
        return;
    } else {
        batch_ended_ = ends_batch(request) || makes_large_reply(request);
        if (batch_ended_) {
            fill_in_host(request);
        }
    }
    batch_request_bytes_ += line.size();
}

/// What makes a large reply holds up the thread: between two of them the others are served.
bool RequestPipeline::has_to_pause(const Request& request) noexcept {
    return context_.takes_large != nullptr && makes_large_reply(request) &&
           !std::exchange(*context_.takes_large, false);
}

std::span<char> RequestPipeline::input_room() {
    const std::span<char> room = input_.room(is_known_);
    if (room.empty()) {
        input_.clear();
        is_oversized_ = true;
        ReplyWriter::write_error({ErrorCode::resource_exhausted, requests_full_text}, replies_.text());
        ++open_replies_;
        close_range();
    }
    return room;
}

void RequestPipeline::note_sent(std::size_t size) {
    replies_.note_sent(size);
    if (reply_memory_.amount() > replies_.bytes()) {
        reply_memory_.resize(replies_.bytes() > free_reply_bytes ? replies_.bytes() : 0);
    }
}

/// Whether there is memory for the replies in the queue and these bytes.
bool RequestPipeline::keep_reply(std::size_t bytes) {
    return replies_.bytes() + bytes <= free_reply_bytes || reply_memory_.resize(replies_.bytes() + bytes);
}

void RequestPipeline::refuse_rest() {
    is_oversized_ = true;
    batch_ended_ = true;
    input_.clear();
}

/// What a browser sends must not be taken for requests: its body can have any lines.
void RequestPipeline::refuse_line(std::string_view line, Error error) {
    if (error.code == ErrorCode::invalid_json && is_http(line)) {
        refuse({ErrorCode::invalid_json,
                "Not valid JSON: this is HTTP, and here JSON requests are taken, one a line. The connection "
                "is closed"});
        refuse_rest();
        return;
    }
    if (error.code == ErrorCode::unauthorized) {
        ++refused_logins_;
        if (++refused_logins_all_ >= refused_logins_max) {
            error.message += ": too many requests without a token that is known. The connection is closed";
            refuse(std::move(error));
            refuse_rest();
            return;
        }
    }
    refuse(std::move(error));
}

void RequestPipeline::refuse(Error error) {
    Batch& batch = context_.batch;
    batch.refused.push_back({batch.requests.size(), std::move(error)});
}

bool RequestPipeline::keep_subscription(const Request& request) {
    const auto* const asked = std::get_if<control::Subscribe>(&request);
    if (asked == nullptr || !context_.takes_subscriptions) {
        return false;
    }
    subscription_ = subscription_of(*asked);
    return true;
}

/// A node that announces an epoch does not know under which address others see it.
void RequestPipeline::fill_in_host(Request& request) {
    auto* const fence = std::get_if<control::Fence>(&request);
    if (fence != nullptr && fence->host.empty() && fence->port != 0) {
        client_host_ = host_.client_host();
        fence->host = client_host_;
    }
}

Subscription RequestPipeline::take_subscription() {
    Subscription taken = std::move(*subscription_);
    subscription_.reset();
    return taken;
}

/// True when the outcomes show something that is not durable yet.
bool RequestPipeline::execute() {
    Batch& batch = context_.batch;
    batch.outcomes.resize(batch.requests.size());
    bool is_uncommitted = false;
    has_writes_ = std::ranges::any_of(batch.requests, [](const Request& request) {
        return std::holds_alternative<Mutation>(request) || std::holds_alternative<KeyedMutation>(request);
    });
    if (!batch.requests.empty()) {
        generation_ = context_.executor.generation();
        context_.executor.execute(batch.requests, batch.outcomes);
        const Lsn durable_lsn = context_.executor.durable_lsn();
        is_uncommitted = std::ranges::any_of(
            batch.outcomes, [&](const Outcome& outcome) { return outcome.wait_lsn > durable_lsn; });
    }
    context_.decoder.release();
    return is_uncommitted;
}

// ---- replies

void RequestPipeline::answer_batch() {
    Batch& batch = context_.batch;
    const TimeLimit deadline(context_.options.query_timeout, received_);
    std::size_t next = 0;
    std::size_t next_refused = 0;
    const auto answer_next = [&](Outcome& outcome) {
        if (replies_.is_place_held() || !rest_.empty()) {
            rest_.push_back(std::move(outcome));
        } else if (!has_reply_room()) {
            rest_awaits_room_ = true;
            rest_.push_back(std::move(outcome));
        } else {
            answer(outcome, deadline);
        }
    };
    while (next < batch.outcomes.size() || next_refused < batch.refused.size()) {
        if (next_refused < batch.refused.size() && batch.refused[next_refused].position == next) {
            Outcome refused{Reply(std::move(batch.refused[next_refused++].error))};
            answer_next(refused);
        } else {
            answer_next(batch.outcomes[next++]);
        }
    }
    batch.outcomes.clear();  // some hold on to pages
    close_range();
}

/// Writes the replies of `rest_` until it is empty, a task has to be waited for or there is no room.
void RequestPipeline::answer_rest(Time now) {
    if (rest_awaits_room_ && has_reply_room()) {
        rest_awaits_room_ = false;
        received_ = now;  // the client did not take its replies: that is none of the request's time
    }
    const TimeLimit deadline(context_.options.query_timeout, received_);
    while (!rest_.empty() && !replies_.is_place_held() && has_reply_room()) {
        Outcome outcome = std::move(rest_.front());
        rest_.pop_front();
        answer(outcome, deadline);
    }
    rest_awaits_room_ = !rest_.empty() && !replies_.is_place_held();
    close_range();
}

/// Writes a reply, unless a task of another thread has to make it first.
void RequestPipeline::answer(Outcome& outcome, const Deadline& deadline) {
    if (auto* const task = std::get_if<std::unique_ptr<Task>>(&outcome.result)) {
        if ((*task)->kind() != TaskKind::query || (*task)->cost_bytes() > inline_task_bytes_max) {
            close_range();
            replies_.hold_place();
            task_wait_ = {outcome.wait_lsn, 0, {}, generation_, has_writes_};
            host_.start_task(std::move(*task), received_);
            return;
        }
        outcome.result = run(**task, deadline);
    }
    if (outcome.ack_lsn != 0) {
        close_range();  // it may have to be replaced: a range of its own
    }
    const std::size_t before = replies_.text().size();
    std::optional<ErrorCode> error =
        context_.writer.write(std::get<Reply>(outcome.result), outcome.repetition, deadline, replies_.text());
    // A mutation's reply is kept in any case: it is small.
    if (const std::size_t bytes = replies_.text().size() - before;
        bytes > free_reply_bytes && !keep_reply(0)) {
        replies_.text().resize(before);
        ReplyWriter::write_error({ErrorCode::resource_exhausted, replies_full_text}, replies_.text());
        error = ErrorCode::resource_exhausted;
    }
    count_reply(error, context_.executor.stats());
    open_lsn_ = std::max(open_lsn_, outcome.wait_lsn);
    ++open_replies_;
    if (outcome.ack_lsn != 0) {
        const auto timeout = context_.executor.ack_timeout().value_or(std::chrono::milliseconds(0));
        close_range({open_lsn_, outcome.ack_lsn, context_.now() + timeout, generation_, has_writes_},
                    open_replies_);
    }
}

void RequestPipeline::close_range() {
    if (open_replies_ != 0) {
        close_range({open_lsn_, 0, {}, generation_, has_writes_}, open_replies_);
    }
}

void RequestPipeline::close_range(const ReplyQueue::Wait& wait, std::uint32_t replies) {
    const Time now = context_.now();
    count_commands(replies, now - work_begin_, context_.executor.stats());
    work_begin_ = now;
    open_replies_ = 0;
    open_lsn_ = 0;
    keep_reply(0);  // where there is no memory for them, they are the last ones for now
    if (replies_.close_range(replies, std::exchange(batch_request_bytes_, 0), wait, progress())) {
        host_.await_release(wait);
    }
}

void RequestPipeline::finish_task(std::string_view reply) {
    std::string refused;
    if (reply.size() > free_reply_bytes && !keep_reply(reply.size())) {
        ReplyWriter::write_error({ErrorCode::resource_exhausted, replies_full_text}, refused);
        reply = refused;
    }
    if (replies_.fill_place(reply, task_wait_, progress())) {
        host_.await_release(task_wait_);
    }
}

void RequestPipeline::release() {
    if (!replies_.has_waiting()) {
        return;
    }
    const ReplyQueue::Progress now = progress();
    if (context_.executor.has_failed()) {
        replies_.fail_above(context_.executor.durable_lsn(), {ErrorCode::internal_error, log_failed_text});
    }
    replies_.release(now);
    if (replies_.has_ended(now)) {
        replies_.end_generations(now, {ErrorCode::replication_error, generation_ended_text});
        replies_.release(now);
    }
}

void RequestPipeline::expire_acks(Time now) {
    replies_.expire_acks(context_.executor.acked_lsn(), now, {ErrorCode::replication_error, not_acked_text});
}

}  // namespace karma::net
