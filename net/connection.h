#pragma once

#include <chrono>
#include <limits>
#include <memory>

#include "net/connection_timeouts.h"
#include "net/io_thread.h"
#include "net/request_pipeline.h"
#include "net/stream_socket.h"

namespace karma::net {

/// A client's connection: reads input for its pipeline, sends the replies that the pipeline releases, keeps
/// the timeouts, and ends. Belongs to one IoThread.
class Connection final : public std::enable_shared_from_this<Connection>, private PipelineHost {
public:
    Connection(Accepted accepted, IoThread& thread);

    void start();
    /// Goes on after it has paused for other connections.
    void resume();
    /// Begins to wait for more input, if the pipeline takes any. Input that is already there is read in the
    /// next event-loop iteration.
    void read();
    /// The LSN for which replies wait is durable, or will never be.
    void on_durable();
    /// Too few followers have acknowledged in time.
    void on_ack_timeout(std::chrono::steady_clock::time_point now);
    /// The event for which its task waits is durable, or did not come in time.
    void on_event();
    /// The idempotency records were read: a request that waited for them goes on.
    void on_records();
    /// Answers the requests that have arrived completely, then closes.
    void finish();
    void close();
    void close_if_timed_out(std::chrono::steady_clock::time_point now);

private:
    using Time = std::chrono::steady_clock::time_point;

    // For the pipeline.
    void await_release(const ReplyQueue::Wait& wait) override;
    void start_task(std::unique_ptr<Task> task, const Call& call) override;
    void await_records() override;
    std::string client_host() const override;

    void run_task_later(std::unique_ptr<Task> task, const Call& call);
    void finish_task_later(const std::shared_ptr<const std::string>& line);

    /// Calls `work()`. When memory runs out in it, the connection is closed, because nobody knows how far it
    /// has come; what it executed is committed.
    template <typename Work>
    void guard(Work&& work) noexcept;
    void begin_read();
    void on_read(const IoResult& result);
    void handle_read(const IoResult& result);
    bool read_rest();
    void process(Time now);
    void note_refused_logins(std::uint32_t count, Time now);
    void send();
    void wait_writable();
    void go_on(Time now);
    void note_waiting(Time now);
    void hand_over();
    void end(Time now);
    bool is_idle() const noexcept;
    bool has_nothing_under_way() const noexcept;
    void note_failure();

    Share place_;
    std::string peer_;  // for the log at level debug; otherwise empty
    bool is_brief_;
    StreamSocket socket_;
    IoThread& thread_;
    const ServerOptions& options_;
    RequestPipeline pipeline_;
    ConnectionTimeouts timeouts_;

    std::unique_ptr<Task> waiting_task_;  // it waits for an event
    Call waiting_call_;                   // of that task
    bool awaits_handshake_ = false;       // before its first request
    bool read_queued_ = false;            // it reads at the end of this event-loop iteration
    bool reading_ = false;                // a read is under way and writes into the input
    bool resume_queued_ = false;          // it goes on after other connections were served
    bool waiting_writable_ = false;       // the socket takes no more bytes for now
    bool closed_ = false;
    bool finishing_ = false;
    std::size_t left_to_read_ = 0;  // bytes that had arrived when it began to finish

    // It has sent its last reply and closed its side. Until `linger_end_` it reads and discards what the
    // client sends, because closing with unread input would reset the connection and lose replies under way.
    bool lingering_ = false;
    Time linger_end_{};

    std::size_t lines_taken_ = 0;  // when the receiving of the current request began
    // Bytes of replies that the client had not taken at the last look.
    std::size_t untaken_before_ = std::numeric_limits<std::size_t>::max();
};

}  // namespace karma::net
