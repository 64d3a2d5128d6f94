#include "net/resolver.h"

#include <array>
#include <condition_variable>
#include <map>
#include <memory>
#include <mutex>
#include <netdb.h>
#include <sys/socket.h>
#include <thread>
#include <utility>

#include <boost/asio/ip/address.hpp>

#include "net/client_connection.h"

namespace karma::net {
namespace {

/// One question to the system's resolver, which cannot be told to stop. Who asked may be gone when it is
/// answered.
struct Question {
    std::mutex mutex;
    std::condition_variable answered;
    bool is_answered = false;
    std::vector<std::string> addresses;
    std::string failure;
};

void ask(Question& question, const std::string& host) {
    addrinfo hints{};
    hints.ai_socktype = SOCK_STREAM;
    addrinfo* found = nullptr;
    const int failure = ::getaddrinfo(host.c_str(), nullptr, &hints, &found);
    std::vector<std::string> addresses;
    for (const addrinfo* at = failure == 0 ? found : nullptr; at != nullptr; at = at->ai_next) {
        std::array<char, NI_MAXHOST> text{};
        if (::getnameinfo(at->ai_addr, at->ai_addrlen, text.data(), text.size(), nullptr, 0,
                          NI_NUMERICHOST) == 0) {
            addresses.emplace_back(text.data());
        }
    }
    if (found != nullptr) {
        ::freeaddrinfo(found);
    }
    const std::lock_guard lock(question.mutex);
    question.is_answered = true;
    question.addresses = std::move(addresses);
    question.failure = failure == 0 ? "it has no address" : ::gai_strerror(failure);
    question.answered.notify_all();
}

std::mutex questions_mutex;

/// Questions that were not answered when they were last looked at: a resolver that hangs is not asked again
/// and again. Never destroyed: threads may come back after the end of `main`.
std::map<std::string, std::shared_ptr<Question>>& open_questions() {
    static auto* const questions = new std::map<std::string, std::shared_ptr<Question>>;
    return *questions;
}

std::shared_ptr<Question> question_about(const std::string& host) {
    const std::lock_guard lock(questions_mutex);
    std::shared_ptr<Question>& question = open_questions()[host];
    if (question) {
        return question;
    }
    question = std::make_shared<Question>();
    try {
        std::thread([question, host] { ask(*question, host); }).detach();
    } catch (const std::exception& failure) {
        open_questions().erase(host);
        throw ConnectionError("cannot look up " + host + ": " + failure.what());
    }
    return question;
}

void forget(const std::string& host, const std::shared_ptr<Question>& question) {
    const std::lock_guard lock(questions_mutex);
    const auto found = open_questions().find(host);
    if (found != open_questions().end() && found->second == question) {
        open_questions().erase(found);
    }
}

}  // namespace

std::vector<std::string> resolve(const std::string& host, std::chrono::milliseconds timeout,
                                 const std::atomic<bool>* stop) {
    boost::system::error_code failure;
    boost::asio::ip::make_address(host, failure);
    if (!failure) {
        return {host};
    }
    const std::shared_ptr<Question> question = question_about(host);
    constexpr auto stop_check = std::chrono::milliseconds(20);
    const auto end = std::chrono::steady_clock::now() + timeout;
    std::unique_lock lock(question->mutex);
    while (!question->is_answered && (stop == nullptr || !stop->load()) &&
           std::chrono::steady_clock::now() < end) {
        question->answered.wait_for(lock, stop_check);
    }
    if (!question->is_answered) {
        throw ConnectionError("cannot look up " + host + ": the resolver has not answered");
    }
    std::vector<std::string> addresses = question->addresses;
    const std::string why = question->failure;
    lock.unlock();
    forget(host, question);
    if (addresses.empty()) {
        throw ConnectionError("cannot look up " + host + ": " + why);
    }
    return addresses;
}

}  // namespace karma::net
