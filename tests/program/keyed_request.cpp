#include "tests/program/keyed_request.h"

#include <stdexcept>
#include <utility>

#include <boost/json/serialize.hpp>

#include "tests/support/settings.h"

namespace karma::test {

namespace {

const std::string& any_of(const std::vector<std::string>& lines, std::mt19937_64& random) {
    return lines[random_between(random, 0, lines.size() - 1)];
}

}  // namespace

KeyedRequest::KeyedRequest(KeyedLines lines, json::value response)
    : lines_(std::move(lines)), response_(std::move(response)) {}

const std::string& KeyedRequest::line(std::mt19937_64& random) const { return any_of(lines_.same, random); }

const std::string& KeyedRequest::conflicting_line(std::mt19937_64& random) const {
    return any_of(lines_.conflicting, random);
}

void KeyedRequest::take_reply(const json::value& reply, bool was_acknowledged) {
    if (member(reply, "success") != json::value(true)) throw std::runtime_error("a success was due");
    if (member(reply, "response") != response_) {
        throw std::runtime_error("the response had to be " + json::serialize(response_));
    }
    if (!member(reply, "idempotent").as_bool()) {
        if (was_acknowledged) throw std::runtime_error("it was acknowledged before and is executed again");
        if (++executions_ > 1) throw std::runtime_error("it is called the first of its key a second time");
    }
    acknowledged_ = true;
}

void Ledger::add(std::shared_ptr<KeyedRequest> request) {
    const std::lock_guard lock(mutex_);
    if (requests_.size() < at_most_) {
        requests_.push_back(std::move(request));
        return;
    }
    requests_[oldest_] = std::move(request);
    oldest_ = (oldest_ + 1) % at_most_;
}

std::shared_ptr<KeyedRequest> Ledger::pick(std::mt19937_64& random) const {
    const std::lock_guard lock(mutex_);
    return requests_.empty() ? nullptr : requests_[random_between(random, 0, requests_.size() - 1)];
}

std::vector<std::shared_ptr<KeyedRequest>> Ledger::all() const {
    const std::lock_guard lock(mutex_);
    return requests_;
}

}  // namespace karma::test
