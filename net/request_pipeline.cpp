#include "net/request_pipeline.h"

#include <algorithm>
#include <new>
#include <utility>

#include "net/time_limit.h"

namespace karma::net {
namespace {

using Clock = std::chrono::steady_clock;

constexpr std::size_t batch_requests_max = 256;
/// A scan of this much is quicker done at once than handed to another thread.
constexpr std::size_t inline_task_bytes_max = 256 * 1024;

constexpr const char* replies_full_text =
    "The memory for replies is used up by clients that do not take theirs (--max-reply-memory): ask again "
    "later, or for less";
constexpr const char* requests_full_text =
    "The memory for requests is used up by others (--max-request-bytes bounds each): send it again later";
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

void drop_last(Batch& batch) noexcept {
    batch.requests.pop_back();
    batch.calls.pop_back();
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

std::string run_task(Task& task, const Call& call, const Deadline& deadline, const Protocol& protocol,
                     Stats& stats) {
    const Clock::time_point begin = Clock::now();
    constexpr std::size_t bytes_of_error = 512;
    std::string text;
    text.reserve(bytes_of_error);  // now, as there may be no memory later
    try {
        count_reply(protocol.write(call, run(task, deadline), Deduplication::no_key, deadline, text), stats);
    } catch (const std::bad_alloc&) {
        text.clear();
        call.write_error({ErrorCode::internal_error, "Out of memory"}, text);
        count_reply(ErrorCode::internal_error, stats);
    }
    count_commands(1, Clock::now() - begin, stats);
    return text;
}

RequestPipeline::RequestPipeline(PipelineHost& host, const PipelineContext& context,
                                 std::unique_ptr<Protocol> protocol)
    : host_(host),
      context_(context),
      protocol_(std::move(protocol)),
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
        protocol_->release();
        throw;
    }
}

bool RequestPipeline::process_all(Time now) {
    work_begin_ = now;
    bool is_uncommitted = false;
    is_paused_ = false;
    answer_rest(now);
    while (takes_input() && !is_paused_ && take_requests(now)) {
        is_uncommitted = execute() || is_uncommitted;
        answer_batch();
        is_paused_ = is_paused_ || (takes_input() && !input_.empty() && has_worked_long(now));
    }
    return is_uncommitted;
}

bool RequestPipeline::take_requests(Time now) {
    received_ = now;
    Batch& batch = context_.batch;
    batch.requests.clear();
    batch.calls.clear();
    batch.refused.clear();
    batch_request_bytes_ = 0;
    batch_ended_ = false;
    const bool accepts_writes = context_.executor.accepts_writes();
    while (!batch_ended_ && batch.size() < batch_requests_max &&
           batch_request_bytes_ <= waiting_request_bytes_max && take_request(accepts_writes)) {}
    return batch.size() != 0;
}

/// False when there is none.
bool RequestPipeline::take_request(bool accepts_writes) {
    Batch& batch = context_.batch;
    Request& request = batch.requests.emplace_back();
    Call& call = batch.calls.emplace_back();
    const Protocol::Taken taken = protocol_->take(input_, accepts_writes, request, call, batch.refusal);
    call.received = received_;
    if (taken == Protocol::Taken::request) {
        if (!accept(request, call)) {
            drop_last(batch);
        }
        return true;
    }
    if (taken != Protocol::Taken::nothing) {
        batch_request_bytes_ += call.bytes;
        refuse(call, std::move(batch.refusal));
    }
    drop_last(batch);
    if (taken == Protocol::Taken::last_refusal) {
        refuse_rest();
    }
    return taken != Protocol::Taken::nothing;
}

/// Whether the request that was taken last is to be executed with the batch; else it is dealt with here.
bool RequestPipeline::accept(Request& request, const Call& call) {
    is_known_ = true;
    const bool makes_large = makes_large_reply(request);
    if (keep_subscription(request)) {
        batch_ended_ = true;
        batch_request_bytes_ += call.bytes;
        return false;
    }
    if (needs_records(request) && !context_.executor.has_records()) {
        protocol_->put_back(input_);
        batch_ended_ = true;
        awaits_records_ = true;
        host_.await_records();
        return false;
    }
    if (makes_large && has_to_pause()) {
        protocol_->put_back(input_);
        batch_ended_ = true;
        is_paused_ = true;
        return false;
    }
    batch_request_bytes_ += call.bytes;
    batch_ended_ = makes_large || ends_batch(request);
    if (batch_ended_) {
        fill_in_host(request);
    }
    return true;
}

/// What makes a large reply holds up the thread: between two of them the others are served.
bool RequestPipeline::has_to_pause() noexcept {
    return context_.takes_large != nullptr && !std::exchange(*context_.takes_large, false);
}

std::span<char> RequestPipeline::input_room() {
    const std::span<char> room = input_.room(is_known_);
    if (room.empty()) {
        input_.clear();
        is_oversized_ = true;
        open_write_error_ = protocol_->error_writer();
        open_write_error_({ErrorCode::resource_exhausted, requests_full_text}, replies_.text());
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

/// A client that goes on without a token that is known is heard no more.
void RequestPipeline::refuse(const Call& call, Error error) {
    if (error.code == ErrorCode::unauthorized) {
        ++refused_logins_;
        if (++refused_logins_all_ >= refused_logins_max) {
            error.message += ": too many requests without a token that is known. The connection is closed";
            refuse_rest();
        }
    }
    Batch& batch = context_.batch;
    // The place of what is refused is still among the requests.
    batch.refused.push_back({batch.requests.size() - 1, call, std::move(error)});
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
    protocol_->release();
    return is_uncommitted;
}

// ---- replies

void RequestPipeline::answer_batch() {
    Batch& batch = context_.batch;
    const TimeLimit deadline(context_.options.query_timeout, received_);
    std::size_t next = 0;
    std::size_t next_refused = 0;
    const auto answer_next = [&](const Call& call, Outcome& outcome) {
        if (replies_.is_place_held() || !rest_.empty()) {
            rest_.push_back({call, std::move(outcome)});
        } else if (!has_reply_room()) {
            rest_awaits_room_ = true;
            rest_.push_back({call, std::move(outcome)});
        } else {
            answer(call, outcome, deadline);
        }
    };
    while (next < batch.outcomes.size() || next_refused < batch.refused.size()) {
        if (next_refused < batch.refused.size() && batch.refused[next_refused].position == next) {
            Batch::Refused& one = batch.refused[next_refused++];
            Outcome refused{Reply(std::move(one.error))};
            answer_next(one.call, refused);
        } else {
            answer_next(batch.calls[next], batch.outcomes[next]);
            ++next;
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
        Pending next = std::move(rest_.front());
        rest_.pop_front();
        next.call.received = received_;
        answer(next.call, next.outcome, deadline);
    }
    rest_awaits_room_ = !rest_.empty() && !replies_.is_place_held();
    close_range();
}

/// Writes a reply, unless a task of another thread has to make it first.
void RequestPipeline::answer(const Call& call, Outcome& outcome, const Deadline& deadline) {
    if (auto* const task = std::get_if<std::unique_ptr<Task>>(&outcome.result)) {
        if ((*task)->kind() != TaskKind::query || (*task)->cost_bytes() > inline_task_bytes_max) {
            close_range();
            replies_.hold_place();
            task_wait_ = {outcome.wait_lsn, 0, {}, generation_, has_writes_};
            task_write_error_ = call.write_error;
            host_.start_task(std::move(*task), call);
            return;
        }
        outcome.result = run(**task, deadline);
    }
    if (outcome.ack_lsn != 0 || call.write_error != open_write_error_) {
        close_range();  // it may have to be replaced: a range of its own
    }
    open_write_error_ = call.write_error;
    const std::size_t before = replies_.text().size();
    std::optional<ErrorCode> error = protocol_->write(call, std::get<Reply>(outcome.result),
                                                      outcome.deduplication, deadline, replies_.text());
    // A mutation's reply is kept in any case: it is small.
    if (const std::size_t bytes = replies_.text().size() - before;
        bytes > free_reply_bytes && !keep_reply(0)) {
        replies_.text().resize(before);
        call.write_error({ErrorCode::resource_exhausted, replies_full_text}, replies_.text());
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
    if (replies_.close_range(replies, std::exchange(batch_request_bytes_, 0), wait, progress(),
                             open_write_error_)) {
        host_.await_release(wait);
    }
}

void RequestPipeline::finish_task(std::string_view reply) {
    std::string refused;
    if (reply.size() > free_reply_bytes && !keep_reply(reply.size())) {
        task_write_error_({ErrorCode::resource_exhausted, replies_full_text}, refused);
        reply = refused;
    }
    if (replies_.fill_place(reply, task_wait_, progress(), task_write_error_)) {
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
