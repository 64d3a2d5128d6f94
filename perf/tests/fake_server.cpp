#include "perf/tests/fake_server.h"

#include <utility>

namespace karma::perf {

namespace asio = boost::asio;
using asio::ip::tcp;
using boost::system::error_code;

struct FakeServer::Session : std::enable_shared_from_this<FakeServer::Session> {
    Session(tcp::socket connected, const Answer& function) : socket(std::move(connected)), answer(function) {}

    void read() {
        socket.async_read_some(asio::buffer(chunk),
                               [self = shared_from_this()](error_code error, std::size_t size) {
                                   if (!error) self->received(size);
                               });
    }

    void received(std::size_t size) {
        input.append(chunk.data(), size);
        output.clear();
        std::size_t begin = 0;
        for (std::size_t end = input.find('\n'); end != std::string::npos; end = input.find('\n', begin)) {
            const std::optional<std::string> reply = answer(input.substr(begin, end - begin));
            if (!reply) return;  // nothing holds the session any more
            output += *reply;
            begin = end + 1;
        }
        input.erase(0, begin);
        asio::async_write(socket, asio::buffer(output),
                          [self = shared_from_this()](error_code error, std::size_t) {
                              if (!error) self->read();
                          });
    }

    tcp::socket socket;
    const Answer& answer;
    std::array<char, 4096> chunk{};
    std::string input;
    std::string output;
};

FakeServer::FakeServer(Answer answer)
    : answer_(std::move(answer)),
      acceptor_(loop_, tcp::endpoint(asio::ip::address_v4::loopback(), 0)),
      port_(acceptor_.local_endpoint().port()) {
    accept();
    thread_ = std::jthread([this] { loop_.run(); });
}

FakeServer::~FakeServer() { loop_.stop(); }

void FakeServer::accept() {
    acceptor_.async_accept([this](error_code error, tcp::socket socket) {
        if (error) return;
        std::make_shared<Session>(std::move(socket), answer_)->read();
        accept();
    });
}

}  // namespace karma::perf
