#include "tests/program/lane.h"

#include <stdexcept>
#include <utility>

#include <boost/json/serialize.hpp>

namespace karma::test {

void Lane::put(std::string line, Check check) {
    unsent_ += line;
    unsent_ += '\n';
    expected_.push_back({std::move(line), std::move(check)});
}

void Lane::put_refused(std::string line, std::string error_code) {
    put(std::move(line), [code = std::move(error_code)](const json::value& reply) {
        if (member(reply, "error_code") != json::value(code)) throw std::runtime_error(code + " was due");
    });
}

void Lane::put_keyed(const std::shared_ptr<KeyedRequest>& request, std::mt19937_64& random) {
    put(request->line(random), [request, known = request->acknowledged()](const json::value& reply) {
        request->take_reply(reply, known);
    });
}

void Lane::put_invalid(const KeyedRequest& request) {
    put(request.invalid_line(), [](const json::value& reply) {
        const json::value& code = member(reply, "error_code");
        if (code != json::value("validation_error") && code != json::value("idempotency_conflict")) {
            throw std::runtime_error("it had to be refused");
        }
    });
}

void Lane::flush() {
    client_.send(unsent_);
    unsent_.clear();
}

void Lane::take() {
    const std::string reply = client_.receive_line();
    const Expected expected = std::move(expected_.front());
    expected_.pop_front();
    try {
        expected.check(parse_json(reply));
    } catch (const std::exception& error) {
        throw std::runtime_error(expected.line + " was answered " + reply + ": " + error.what());
    }
}

void Lane::finish() {
    flush();
    while (waiting() > 0) take();
}

json::value Lane::call(std::string_view op, const json::object& fields) {
    finish();
    return client_.call(op, fields);
}

}  // namespace karma::test
