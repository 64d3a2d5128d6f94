// The floor: answers every line with one fixed line, and does nothing else. What it reaches is what sockets,
// the kernel and Asio leave to a server that does something.

#include <algorithm>
#include <array>
#include <charconv>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <exception>
#include <functional>
#include <iostream>
#include <memory>
#include <stdexcept>
#include <string>
#include <string_view>
#include <sys/socket.h>
#include <thread>
#include <utility>
#include <vector>

#include <boost/asio.hpp>
#include <boost/program_options.hpp>

namespace karma::perf {
namespace {

namespace asio = boost::asio;
namespace po = boost::program_options;
using asio::ip::tcp;
using boost::system::error_code;

// Many copies of the reply in a row, so that any number of replies is one piece of memory.
class Replies {
public:
    explicit Replies(const std::string& reply)
        : size_(reply.size()), copies_(std::max<std::size_t>(1, most_bytes / reply.size())) {
        text_.reserve(size_ * copies_);
        for (std::size_t i = 0; i < copies_; ++i) text_ += reply;
    }

    // The bytes of `count` replies, or of as many as there are copies; takes them off the count.
    asio::const_buffer take(std::size_t& count) const {
        const std::size_t taken = std::min(count, copies_);
        count -= taken;
        return asio::buffer(text_.data(), taken * size_);
    }

private:
    static constexpr std::size_t most_bytes = 256 * 1024;

    std::size_t size_;
    std::size_t copies_;
    std::string text_;
};

class Session : public std::enable_shared_from_this<Session> {
public:
    Session(tcp::socket socket, const Replies& replies) : socket_(std::move(socket)), replies_(replies) {}

    void read() {
        socket_.async_read_some(
            asio::buffer(buffer_), [self = shared_from_this()](error_code error, std::size_t size) {
                if (error) return;
                const char* begin = self->buffer_.data();
                self->answer(static_cast<std::size_t>(std::count(begin, begin + size, '\n')));
            });
    }

private:
    // The write is tried at once, without the way through Asio's queue; only what the socket does not take
    // waits there.
    void answer(std::size_t count) {
        while (count > 0) {
            const asio::const_buffer bytes = replies_.take(count);
            error_code error;
            const std::size_t written = socket_.write_some(bytes, error);
            if (error && error != asio::error::would_block) return;
            if (written < bytes.size()) {
                asio::async_write(socket_, bytes + written,
                                  [self = shared_from_this(), count](error_code failed, std::size_t) {
                                      if (!failed) self->answer(count);
                                  });
                return;
            }
        }
        read();
    }

    tcp::socket socket_;
    const Replies& replies_;
    std::array<char, 64UL * 1024> buffer_{};
};

// Each thread has its own event loop, and connections stay on the one that they were given to.
class Floor {
public:
    Floor(const tcp::endpoint& endpoint, std::size_t threads, const std::string& reply)
        : replies_(reply),
          loops_(threads),
          acceptor_(loops_.front(), endpoint),
          signals_(loops_.front(), SIGINT, SIGTERM) {
        signals_.async_wait([this](error_code, int) {
            for (asio::io_context& loop : loops_) loop.stop();
        });
    }

    std::uint16_t port() const { return acceptor_.local_endpoint().port(); }

    void run() {
        accept();
        std::vector<std::jthread> others;
        for (std::size_t i = 1; i < loops_.size(); ++i) {
            others.emplace_back([&loop = loops_[i]] {
                const auto work = asio::make_work_guard(loop);
                loop.run();
            });
        }
        loops_.front().run();
    }

private:
    struct Loop : asio::io_context {
        Loop() : asio::io_context(1) {}
    };

    void accept() {
        Loop& loop = loops_[next_loop_++ % loops_.size()];
        acceptor_.async_accept(loop, [this, &loop](error_code error, tcp::socket socket) {
            if (!error) start(loop, std::move(socket));
            accept();
        });
    }

    void start(Loop& loop, tcp::socket socket) {
        error_code ignored;
        socket.set_option(tcp::no_delay(true), ignored);
        socket.non_blocking(true, ignored);
        asio::post(loop,
                   [session = std::make_shared<Session>(std::move(socket), replies_)] { session->read(); });
    }

    Replies replies_;
    std::vector<Loop> loops_;
    std::size_t next_loop_ = 0;
    tcp::acceptor acceptor_;
    asio::signal_set signals_;
};

// Like the reply to counter.increment; longer on request, as the reply to a batch of reads is.
std::string make_reply(std::size_t bytes) {
    const std::string_view begin = R"({"protocol_version":2,"success":true,"response":1)";
    const std::string_view end = ",\"error_code\":null}\r\n";
    const std::size_t least = begin.size() + end.size();
    return std::string(begin).append(bytes > least ? bytes - least : 0, '1').append(end);
}

template <typename Number>
Number number(const po::variables_map& map, const char* option, Number least, Number most) {
    const std::string& text = map[option].as<std::string>();
    Number value{};
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
    if (error != std::errc() || end != text.data() + text.size() || value < least || value > most) {
        throw std::invalid_argument("--" + std::string(option) + ": '" + text + "' is not a number from " +
                                    std::to_string(least) + " to " + std::to_string(most));
    }
    return value;
}

int run(int argc, char** argv) {
    const auto text = [] { return po::value<std::string>(); };
    po::options_description options("karma_floor: answers every line with the same line");
    options.add_options()                                                                      //
        ("bind", text()->default_value("127.0.0.1"), "address to listen on")                   //
        ("port", text()->default_value("0"), "TCP port; 0: a free one, which is printed")      //
        ("threads", text()->default_value("1"), "event loops, each with a thread of its own")  //
        ("reply-bytes", text()->default_value("0"),
         "length of a reply, when longer than that of an increment")  //
        ("help", "print this");
    po::variables_map map;
    po::store(po::command_line_parser(argc, argv).options(options).positional({}).run(), map);
    if (map.count("help") != 0) {
        std::cout << options;
        return 0;
    }
    error_code bad_address;
    const auto address = asio::ip::make_address(map["bind"].as<std::string>(), bad_address);
    if (bad_address) throw std::invalid_argument("--bind: " + bad_address.message());
    Floor floor(tcp::endpoint(address, number<std::uint16_t>(map, "port", 0, 65535)),
                number<std::size_t>(map, "threads", 1, 256),
                make_reply(number<std::size_t>(map, "reply-bytes", 0, 16UL * 1024 * 1024)));
    std::cout << "listening on port " << floor.port() << std::endl;
    floor.run();
    return 0;
}

}  // namespace
}  // namespace karma::perf

int main(int argc, char** argv) {
    try {
        return karma::perf::run(argc, argv);
    } catch (const std::exception& error) {
        std::cerr << "karma_floor: " << error.what() << '\n';
        return 2;
    }
}
