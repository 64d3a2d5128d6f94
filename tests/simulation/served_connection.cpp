#include "tests/simulation/served_connection.h"

#include <algorithm>
#include <utility>

namespace karma::test {
namespace {

net::ServerOptions unhurried() {
    net::ServerOptions options;
    options.query_timeout = std::chrono::milliseconds(0);
    return options;
}

}  // namespace

ServedConnection::ServedConnection(const Daemon& daemon, std::unique_ptr<replica::PeerStream> stream,
                                   std::string from)
    : daemon_(daemon),
      stream_(std::move(stream)),
      from_(std::move(from)),
      options_(unhurried()),
      decoder_(daemon.access),
      context_{options_, daemon_.database, batch_, true, [this] { return daemon_.scheduler.now(); }},
      pipeline_(*this, context_,
                std::make_unique<net::LineProtocol>(decoder_, writer_, options_.request_bytes_max)) {}

void ServedConnection::run() {
    while (!daemon_.is_ending) {
        receive();
        execute();
        send();
        if (pipeline_.has_subscription() && pipeline_.owes_nothing()) {
            daemon_.node.subscriptions().adopt(std::move(stream_), from_, pipeline_.take_subscription());
            return;
        }
        if (task_) {
            run_task();
        } else {
            wait();
        }
    }
}

void ServedConnection::receive() {
    if (!pipeline_.takes_input()) {
        return;
    }
    // Mostly all that has arrived, sometimes less.
    std::size_t size = 0;
    do {
        const std::span<char> room = pipeline_.input().room();
        size = room.empty() ? 0 : stream_->receive(room.data(), room.size());
        pipeline_.input().add(size);
    } while (size != 0 && !daemon_.scheduler.one_in(10));
}

void ServedConnection::execute() {
    Scheduler& scheduler = daemon_.scheduler;
    if (awaits_records_ && daemon_.database.has_records()) {
        awaits_records_ = false;
        pipeline_.on_records();
    }
    pipeline_.release();
    pipeline_.expire_acks(scheduler.now());
    if (!pipeline_.process(scheduler.now())) {
        return;
    }
    if (daemon_.commit_later) {
        daemon_.commit_later();
        return;
    }
    // Others may execute theirs before this is committed.
    if (scheduler.one_in(2)) {
        scheduler.sleep(std::chrono::microseconds(scheduler.between(0, 500)));
    }
    while (daemon_.has_slow_disk && !daemon_.is_ending) {
        scheduler.sleep(std::chrono::microseconds(200));
    }
    if (!daemon_.commits_only_awaited || awaited_lsn_ > daemon_.database.durable_lsn()) {
        daemon_.database.commit();
    }
}

void ServedConnection::await_release(const net::ReplyQueue::Wait& wait) {
    awaited_lsn_ = std::max(awaited_lsn_, wait.lsn);
}

void ServedConnection::start_task(std::unique_ptr<Task> task, const net::Call& call) {
    task_ = std::move(task);
    task_call_ = call;
}

void ServedConnection::run_task() {
    Scheduler& scheduler = daemon_.scheduler;
    scheduler.sleep(std::chrono::microseconds(scheduler.between(0, 2'000)));
    if (!daemon_.is_ending) {
        const std::unique_ptr<Task> task = std::move(task_);
        pipeline_.finish_task(
            net::run_task(*task, task_call_, NoDeadline(), pipeline_.protocol(), daemon_.database.stats()));
    }
}

void ServedConnection::send() {
    pipeline_.release();
    net::ReplyQueue& replies = pipeline_.replies();
    while (!replies.sendable().empty()) {
        const std::size_t size = stream_->send(replies.sendable());
        if (size == 0) {
            return;
        }
        replies.note_sent(size);
    }
}

void ServedConnection::wait() {
    Scheduler& scheduler = daemon_.scheduler;
    const bool wants_to_send = !pipeline_.replies().sendable().empty();
    if (pipeline_.owes_nothing() || wants_to_send) {
        stream_->wait(pipeline_.takes_input(), wants_to_send, std::chrono::milliseconds(50));
    } else {
        scheduler.sleep(std::chrono::microseconds(scheduler.between(50, 500)));
    }
}

}  // namespace karma::test
