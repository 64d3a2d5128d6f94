#include "tests/program/bystander.h"

#include <stdexcept>
#include <utility>

#include <boost/json/serialize.hpp>

#include "tests/support/comes_true.h"
#include "tests/support/values.h"

namespace karma::test {

Bystander::Bystander(const Daemon& daemon, std::string token)
    : daemon_(daemon), token_(std::move(token)), thread_([this] { run(); }) {}

Bystander::~Bystander() { finish(); }

bool Bystander::goes_on() {
    constexpr std::uint64_t some_times = 20;
    const std::uint64_t before = served_;
    return comes_true([&] { return served_ >= before + some_times || failed_; }) && !failed_;
}

std::string Bystander::finish() {
    stopping_ = true;
    if (thread_.joinable()) thread_.join();
    return problem_;
}

void Bystander::run() {
    try {
        Client client(daemon_.port(), patience(std::chrono::seconds(60)));
        json::object fields{{"series", "bystander"}, {"key", 1}, {"bucket", some_bucket}};
        if (!token_.empty()) fields["token"] = token_;
        for (std::uint64_t times = 1; !stopping_; ++times) {
            client.call("counter.increment", fields);
            const json::value sum = client.call("counter.sum", fields);
            if (as_number(sum) != times) {
                throw std::runtime_error("the sum is " + json::serialize(sum) + " after " +
                                         std::to_string(times) + " increments");
            }
            served_ = times;
        }
    } catch (const std::exception& error) {
        problem_ = std::string("the bystander: ") + error.what();
        failed_ = true;
    }
}

}  // namespace karma::test
