#include "net/client_connection.h"

#include <algorithm>
#include <cerrno>
#include <poll.h>
#include <system_error>

#include <boost/asio/buffer.hpp>
#include <boost/asio/connect.hpp>
#include <boost/asio/error.hpp>

#include "net/address_text.h"
#include "net/resolver.h"

namespace karma::net {

namespace asio = boost::asio;
using asio::ip::tcp;

namespace {

constexpr std::size_t chunk_bytes = 65'536;

/// How often a wait looks whether it is to end.
constexpr auto stop_check = std::chrono::milliseconds(50);

std::string seconds_text(std::chrono::milliseconds time) {
    const auto count = time.count();
    if (count % 1'000 != 0) return std::to_string(count) + " ms";
    return std::to_string(count / 1'000) + (count == 1'000 ? " second" : " seconds");
}

}  // namespace

ClientConnection::ClientConnection(const std::string& host, std::uint16_t port,
                                   std::chrono::milliseconds timeout, const std::atomic<bool>* stop)
    : address_(address_text(host, port)), timeout_(timeout), stop_(stop), chunk_(chunk_bytes) {
    connect(host, port);
}

void ClientConnection::connect(const std::string& host, std::uint16_t port) {
    const auto deadline = std::chrono::steady_clock::now() + timeout_;
    std::vector<tcp::endpoint> endpoints;
    try {
        for (const std::string& address : resolve(host, timeout_, stop_)) {
            endpoints.emplace_back(asio::ip::make_address(address), port);
        }
    } catch (const ConnectionError& failure) {
        throw ConnectionError("cannot connect to " + address_ + ": " + failure.what());
    }
    boost::system::error_code result = asio::error::would_block;
    asio::async_connect(socket_, endpoints,
                        [&](const boost::system::error_code& outcome, const tcp::endpoint& /*endpoint*/) {
                            result = outcome;
                        });
    while (!io_.stopped() && !is_stopped() && std::chrono::steady_clock::now() < deadline) {
        io_.run_until(stop_ == nullptr ? deadline
                                       : std::min(deadline, std::chrono::steady_clock::now() + stop_check));
    }
    if (result == asio::error::would_block) {
        throw ConnectionError("cannot connect to " + address_ + ": no answer within " +
                              seconds_text(timeout_));
    }
    if (!result) socket_.set_option(tcp::no_delay(true), result);
    if (!result) socket_.non_blocking(true, result);
    if (result) throw ConnectionError("cannot connect to " + address_ + ": " + result.message());
}

void ClientConnection::queue_line(std::string_view line) {
    output_.append(line);
    output_.push_back('\n');
}

void ClientConnection::flush() {
    while (!failed() && output_sent_ < output_.size()) {
        send_some();
    }
    output_.clear();
    output_sent_ = 0;
}

void ClientConnection::send_some() {
    boost::system::error_code failure;
    output_sent_ += socket_.write_some(
        asio::buffer(output_.data() + output_sent_, output_.size() - output_sent_), failure);
    if (!failure || failure == asio::error::interrupted) return;
    if (failure == asio::error::would_block || failure == asio::error::try_again) {
        const short ready = wait(POLLIN | POLLOUT);
        if (ready == 0) fail("does not take requests any more, waited " + seconds_text(timeout_));
        if ((ready & POLLIN) != 0) receive_some();
        return;
    }
    // What the daemon has sent before it went away is still there to be read.
    const std::string why = failure.message();
    while (!failed()) {
        const auto before = input_.size() - input_start_;
        receive_some();
        if (input_.size() - input_start_ == before) break;
    }
    fail(why);
}

void ClientConnection::receive_some() {
    boost::system::error_code failure;
    const std::size_t count = socket_.read_some(asio::buffer(chunk_), failure);
    if (failure == asio::error::would_block || failure == asio::error::try_again ||
        failure == asio::error::interrupted) {
        return;
    }
    if (failure == asio::error::eof) {
        fail("the daemon closed it");
    } else if (failure) {
        fail(failure.message());
    } else {
        if (input_start_ == input_.size() || input_start_ > chunk_bytes) {
            input_.erase(0, input_start_);
            input_scanned_ -= input_start_;
            input_start_ = 0;
        }
        input_.append(chunk_.data(), count);
    }
}

std::string_view ClientConnection::read_line() {
    flush();
    while (true) {
        if (const auto line = buffered_line()) return *line;
        if (failed()) throw ConnectionError(*failure_);
        if (input_.size() - input_start_ > line_bytes_max_) {
            fail("a line of more than " + std::to_string(line_bytes_max_) + " bytes");
        } else if (wait(POLLIN) == 0) {
            fail("no reply, waited " + seconds_text(timeout_));
        } else {
            receive_some();
        }
    }
}

std::optional<std::string_view> ClientConnection::buffered_line() {
    const auto end = input_.find('\n', input_scanned_);
    if (end == std::string::npos) {
        input_scanned_ = input_.size();
        return std::nullopt;
    }
    std::string_view line(input_.data() + input_start_, end - input_start_);
    if (line.ends_with('\r')) line.remove_suffix(1);
    input_start_ = end + 1;
    input_scanned_ = input_start_;
    return line;
}

int ClientConnection::release(std::string& received) {
    received.assign(input_, input_start_);
    boost::system::error_code failure;
    const int file = socket_.release(failure);
    if (failure) throw ConnectionError("connection to " + address_ + ": " + failure.message());
    return file;
}

short ClientConnection::wait(short events) {
    using Clock = std::chrono::steady_clock;
    const auto deadline = Clock::now() + timeout_;
    while (true) {
        auto left = std::max(std::chrono::ceil<std::chrono::milliseconds>(deadline - Clock::now()),
                             std::chrono::milliseconds(0));
        const bool is_last = stop_ == nullptr || left <= stop_check || is_stopped();
        if (stop_ != nullptr) left = is_stopped() ? std::chrono::milliseconds(0) : std::min(left, stop_check);
        pollfd descriptor{socket_.native_handle(), events, 0};
        const int ready = ::poll(&descriptor, 1, static_cast<int>(left.count()));
        // An error or hang-up shows itself in the read that follows.
        if (ready > 0)
            return (descriptor.revents & ~(POLLIN | POLLOUT)) != 0 ? short{POLLIN} : descriptor.revents;
        if (ready == 0 && is_last) return 0;
        if (ready == 0) continue;
        if (errno != EINTR) {
            fail(std::generic_category().message(errno));
            return POLLIN;
        }
    }
}

void ClientConnection::fail(const std::string& why) {
    if (!failed()) failure_ = "connection to " + address_ + ": " + why;
}

}  // namespace karma::net
