#include "tests/simulation/lines.h"

#include <algorithm>
#include <array>

#include "net/client_connection.h"
#include "net/client_request.h"

namespace karma::test {
namespace {

constexpr auto connect_patience = std::chrono::milliseconds(600);

}  // namespace

std::vector<SimulatedLines::Reply> SimulatedLines::ask_all(const std::string& node,
                                                           const std::vector<std::string>& lines) {
    std::vector<Reply> replies;
    std::string bytes;
    for (const std::string& line : lines) {
        bytes += line;
        bytes += '\n';
    }
    replies.reserve(lines.size());
    came_at_.clear();
    try {
        connect_to(node);
        exchange(std::move(bytes), replies);
    } catch (const net::ConnectionError&) {
        stream_.reset();
    } catch (const replica::ChannelError&) {
        stream_.reset();
    }
    replies.resize(lines.size());
    return replies;
}

void SimulatedLines::connect_to(const std::string& node) {
    if (!stream_ || connected_to_ != node) {
        stream_.reset();
        stream_ = network_.connect(name_, {node, 0, connect_patience});
        connected_to_ = node;
    }
}

// Until there are as many replies as lines. Throws ChannelError when none comes for too long.
void SimulatedLines::exchange(std::string bytes, std::vector<Reply>& replies) {
    const Scheduler& scheduler = network_.scheduler();
    auto left = static_cast<std::size_t>(std::ranges::count(bytes, '\n'));
    auto end = scheduler.now() + patience;
    std::string received;
    while (left > 0) {
        bytes.erase(0, bytes.empty() ? 0 : stream_->send(bytes));
        if (scheduler.now() >= end) {
            throw replica::ChannelError("no reply in time");
        }
        if (stream_->wait(true, !bytes.empty(), std::chrono::milliseconds(20)).to_receive) {
            std::array<char, 4096> block{};
            received.append(block.data(), stream_->receive(block.data(), block.size()));
        }
        for (std::size_t at = 0; (at = received.find('\n')) != std::string::npos; --left) {
            replies.emplace_back(net::parse_reply(received.substr(0, at)));
            received.erase(0, at + 1);
            came_at_.push_back(scheduler.now());
            end = scheduler.now() + patience;
        }
    }
}

}  // namespace karma::test
