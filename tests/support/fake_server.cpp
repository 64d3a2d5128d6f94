#include "tests/support/fake_server.h"

#include <algorithm>
#include <array>
#include <cerrno>
#include <chrono>
#include <deque>
#include <fcntl.h>
#include <linux/sockios.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdexcept>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <system_error>
#include <unistd.h>
#include <utility>

#include <boost/json/serialize.hpp>

#include "tests/support/json.h"
#include "tests/support/loopback.h"
#include "tests/support/settings.h"

namespace karma::test {

namespace {

void require(bool good, const char* what) {
    if (!good) throw std::system_error(errno, std::generic_category(), what);
}

// A socket that is closed with requests unread forgets what it has not sent yet, so this waits until the
// other side has everything.
void wait_until_delivered(int socket) {
    const auto deadline = std::chrono::steady_clock::now() + patience();
    int waiting_bytes = 0;
    while (::ioctl(socket, SIOCOUTQ, &waiting_bytes) == 0 && waiting_bytes > 0) {
        if (std::chrono::steady_clock::now() > deadline)
            throw std::runtime_error("the client does not take its answer");
        std::this_thread::sleep_for(std::chrono::microseconds(100));
    }
}

}  // namespace

FakeServer::FakeServer(Answer answer, std::size_t hold, std::size_t at_once)
    : answer_(std::move(answer)),
      hold_(hold),
      at_once_(at_once),
      listener_(needed(listen_on(0), "cannot listen")) {
    port_ = port_of(listener_);
    std::array<int, 2> ends{};
    require(::pipe2(ends.data(), O_CLOEXEC) == 0, "pipe");
    stop_read_ = FileDescriptor(ends[0]);
    stop_write_ = FileDescriptor(ends[1]);
    thread_ = std::thread([this] { run(); });
}

FakeServer::~FakeServer() {
    stop_write_.reset();
    thread_.join();
}

std::vector<std::string> FakeServer::requests() const {
    const std::lock_guard lock(mutex_);
    return requests_;
}

bool FakeServer::wait_for_requests(std::size_t count) const {
    const auto deadline = std::chrono::steady_clock::now() + patience();
    while (requests().size() < count) {
        if (std::chrono::steady_clock::now() > deadline) return false;
        std::this_thread::sleep_for(std::chrono::milliseconds(2));
    }
    return true;
}

bool FakeServer::wait_readable(const FileDescriptor& descriptor, int timeout_ms) const {
    std::array<pollfd, 2> waiting{pollfd{descriptor.get(), POLLIN, 0}, pollfd{stop_read_.get(), POLLIN, 0}};
    const int ready = ::poll(waiting.data(), waiting.size(), timeout_ms);
    return ready > 0 && waiting[1].revents == 0;
}

void FakeServer::run() {
    while (wait_readable(listener_, -1)) {
        const FileDescriptor connection = accept_from(listener_);
        if (!connection.valid()) return;
        const int on = 1;
        require(::setsockopt(connection.get(), IPPROTO_TCP, TCP_NODELAY, &on, sizeof on) == 0, "setsockopt");
        ++connections_;
        serve(connection);
    }
}

void FakeServer::serve(const FileDescriptor& connection) {
    std::string input;
    std::deque<std::pair<std::size_t, std::string>> unanswered;
    std::size_t received = 0;
    std::size_t answered = 0;
    bool holding = true;
    bool ended = false;
    while (!ended) {
        if (!wait_readable(connection, -1)) return;
        std::array<char, 65'536> chunk{};
        const ssize_t count = ::recv(connection.get(), chunk.data(), chunk.size(), 0);
        ended = count <= 0;
        if (!ended) input.append(chunk.data(), static_cast<std::size_t>(count));
        for (std::size_t end = input.find('\n'); end != std::string::npos; end = input.find('\n')) {
            const std::lock_guard lock(mutex_);
            unanswered.emplace_back(requests_.size(), input.substr(0, end));
            requests_.push_back(unanswered.back().second);
            input.erase(0, end + 1);
            ++received;
        }
        most_unanswered_ = std::max(most_unanswered_.load(), unanswered.size());
        for (; !unanswered.empty(); unanswered.pop_front(), ++answered) {
            if (holding && answered >= at_once_) {
                if (received < at_once_ + hold_ && !ended) break;
                holding = false;
            }
            const FakeAnswer answer = answer_(unanswered.front().first, unanswered.front().second);
            if (!send_all(connection, answer.bytes)) return;
            if (answer.close) {
                wait_until_delivered(connection.get());
                return;
            }
        }
    }
}

std::string success_reply(std::string_view response_json) {
    return R"({"protocol_version":2,"success":true,"response":)" + std::string(response_json) +
           ",\"error_code\":null}\r\n";
}

std::string error_reply(std::string_view code, std::string_view message) {
    return R"({"protocol_version":2,"success":false,"response":)" + json::serialize(json::string(message)) +
           ",\"error_code\":\"" + std::string(code) + "\"}\r\n";
}

FakeAnswer accept_import(const std::string& line) {
    const json::value request = parse_json(line);
    const std::string op(member(request, "op").as_string());
    const std::string id = json::serialize(member(request, "stream_id"));
    if (op == "ingest.begin") {
        return {success_reply("{\"stream_id\":" + id +
                              ",\"mode\":" + json::serialize(member(request, "mode")) +
                              R"(,"series":null,"granularity":null,"status":"active","last_chunk_seq":0})")};
    }
    if (op == "ingest.commit") {
        return {success_reply("{\"stream_id\":" + id + R"(,"status":"committed","last_chunk_seq":0})")};
    }
    if (op != "ingest.chunk") throw std::runtime_error("no request of an import: " + line);
    const std::vector<Item> items = items_of(line);
    std::uint64_t total = 0;
    for (const Item& item : items) total += item.value;
    return {success_reply("{\"stream_id\":" + id +
                          ",\"chunk_seq\":" + std::to_string(as_number(member(request, "chunk_seq"))) +
                          ",\"skipped\":false,\"applied\":" + std::to_string(items.size()) +
                          ",\"total\":" + std::to_string(total) + "}")};
}

std::vector<std::string> chunks_of(const std::vector<std::string>& requests) {
    std::vector<std::string> chunks;
    for (const std::string& request : requests) {
        if (member(parse_json(request), "op") == json::value("ingest.chunk")) chunks.push_back(request);
    }
    return chunks;
}

std::vector<Item> items_of(const std::string& request) {
    const json::value value = parse_json(request);
    std::vector<Item> items;
    for (const json::value& item : member(value, "items").as_array()) {
        const json::array& parts = item.as_array();
        if (parts.size() != 3) throw std::runtime_error("an item without three parts in " + request);
        items.push_back({as_number(parts[0]), as_number(parts[1]), as_number(parts[2])});
    }
    return items;
}

std::vector<Item> items_of(const std::vector<std::string>& requests) {
    std::vector<Item> all;
    for (const std::string& request : chunks_of(requests)) {
        const std::vector<Item> items = items_of(request);
        all.insert(all.end(), items.begin(), items.end());
    }
    return all;
}

}  // namespace karma::test
