#pragma once

#include <chrono>
#include <deque>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include <boost/asio/ip/tcp.hpp>

#include "net/io_thread.h"

namespace karma::net {

/// One client: reads request lines, executes what has arrived together, and sends replies in order, each when
/// what it shows is durable. Lives on one IoThread.
///
/// Its memory is bounded: it reads no further while replies wait to be taken or to become durable.
class Connection : public std::enable_shared_from_this<Connection> {
public:
    Connection(boost::asio::ip::tcp::socket socket, IoThread& thread);

    void start();
    /// Begins to wait for more input, if it wants any. Where some is there it is taken in the next turn.
    void read();
    /// What was waited for is durable, or will never be.
    void on_durable();
    /// Followers that were waited for have not answered in time.
    void on_ack_timeout(std::chrono::steady_clock::time_point now);
    /// The idempotency records are known: what waited for them goes on.
    void on_records();
    /// Answers what was received, then closes.
    void finish();
    void close();
    void close_if_timed_out(std::chrono::steady_clock::time_point now);

private:
    /// A stretch of replies that wait for an LSN.
    struct Mark {
        std::uint64_t end = 0;  // position in the stream of replies
        Lsn lsn = 0;
        std::uint32_t replies = 0;
        std::size_t request_bytes = 0;
        Lsn ack_lsn = 0;  // and for followers to have this one
        std::chrono::steady_clock::time_point ack_deadline{};
    };

    void on_read(const boost::system::error_code& failure, std::size_t size);
    bool drain_socket();
    /// Executes the complete lines of the input as far as there is room for their replies.
    void process(std::chrono::steady_clock::time_point now);
    bool has_output_room() const noexcept;
    bool has_room() const noexcept;
    /// Whether the next request can be executed as soon as it is there.
    bool takes_input() const noexcept;
    /// Decodes lines into the thread's batch; false when there is none.
    bool decode_lines();
    bool take_line(std::string_view& line);
    void refuse(Error error);
    void discard_input();
    void await_records(const std::string_view& line);
    bool take_subscription(const Request& request);
    void execute();
    /// Writes the replies of the batch; from a task that has to be waited for on, or when there is no room,
    /// they become `rest_`.
    void answer_batch();
    /// Writes the replies of `rest_` until it is empty, a task has to be waited for or there is no room.
    void answer_rest();
    void answer(Outcome& outcome, const Deadline& deadline);
    void close_stretch();
    void run_task(std::unique_ptr<Task> task, Lsn wait_lsn);
    void on_task_done(const std::string& line, Lsn wait_lsn);
    /// Replies up to here wait for what the stretch says.
    void mark(Mark stretch);
    void fail_waiting();
    template <typename EndWait>
    void replace_replies(const Error& error, EndWait&& end_wait);
    void hand_over();
    void send();
    void wait_writable();
    void compact_input();
    void make_room_to_read();
    void go_on();
    bool is_idle() const noexcept;
    /// Every request was answered and every answer taken.
    bool owes_nothing() const noexcept;

    boost::asio::ip::tcp::socket socket_;
    IoThread& thread_;
    const ServerOptions& options_;

    std::vector<char> in_;
    std::size_t in_begin_ = 0;
    std::size_t in_end_ = 0;
    std::size_t scanned_ = 0;    // up to here the input has no newline
    bool read_queued_ = false;   // it reads at the end of this turn
    bool reading_ = false;       // a read writes to in_: it must stay where it is
    bool input_filled_ = false;  // the last read took all the room there was
    bool input_ended_ = false;   // the client sends no more, or nothing more is taken from it
    bool discarding_ = false;    // an oversized request was answered: what follows is read and forgotten
    bool finishing_ = false;
    bool closed_ = false;

    bool awaits_records_ = false;               // the next request needs them
    std::optional<Subscription> subscription_;  // what was asked last: the connection goes to who serves it

    std::deque<Outcome> rest_;  // replies not written yet: a task runs, or there is no room
    Mark stretch_;              // of replies that were written since the last mark
    bool task_running_ = false;

    std::string out_;  // replies from position sent_ on
    std::size_t out_begin_ = 0;
    std::uint64_t produced_ = 0;
    std::uint64_t sent_ = 0;
    std::uint64_t sendable_ = 0;
    Queue<Mark> marks_;
    std::size_t waiting_request_bytes_ = 0;
    std::size_t batch_request_bytes_ = 0;
    std::chrono::steady_clock::time_point work_begin_;  // of what the next stretch takes
    bool waiting_writable_ = false;

    std::chrono::steady_clock::time_point last_received_;
    std::chrono::steady_clock::time_point write_progress_;
};

}  // namespace karma::net
