#pragma once

#include <chrono>
#include <functional>
#include <map>
#include <memory>
#include <vector>

#include <boost/asio/io_context.hpp>
#include <boost/asio/steady_timer.hpp>

#include "engine/executor.h"

namespace karma::net {

class Connection;

/// The connections of an IoThread whose tasks wait for the next event of the log. Calls
/// `Connection::on_event` once for each, when there is an event, when its time is over, or when no event will
/// come in this history. Used by that thread alone.
class EventWaits {
public:
    /// `context` and `executor` outlive it. `wake` makes the caller call `release` in a later event-loop
    /// iteration.
    EventWaits(boost::asio::io_context& context, Executor& executor, std::function<void()> wake);

    void add(const EventWait& wait, std::shared_ptr<Connection> connection);
    /// Ends the waits that are over. Called when the durable LSN has risen, the log has failed or the
    /// generation has changed.
    void release();
    /// Waits again for the end of the time, for which there may have been no memory.
    void repair();
    /// Ends all waits.
    void release_all();

private:
    using Time = std::chrono::steady_clock::time_point;

    struct Waiting {
        Time end;
        std::shared_ptr<Connection> connection;
    };
    using ByLsn = std::multimap<Lsn, Waiting>;  // by the LSN after which the event is

    void take(ByLsn::iterator from, ByLsn::iterator to, std::vector<std::shared_ptr<Connection>>& taken);
    void release_timed_out();
    void schedule();

    Executor& executor_;
    std::function<void()> wake_;
    boost::asio::steady_timer timer_;
    ByLsn waiting_;
    std::multimap<Time, ByLsn::iterator> ends_;
    std::uint64_t generation_ = 0;  // in which they wait
};

}  // namespace karma::net
