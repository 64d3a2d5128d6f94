#include "tests/program/writer.h"

#include <algorithm>
#include <stdexcept>
#include <system_error>

#include <boost/json/serialize.hpp>

#include "tests/support/client.h"
#include "tests/support/settings.h"

namespace karma::test {

Writer::Writer(std::uint64_t number, std::string series, std::uint64_t seed)
    : number_(number), series_(std::move(series)), random_(seed) {}

Writer::Request Writer::make_request() {
    const auto item = [&](std::uint64_t low_value) {
        return Item{.key = number_ * keys_per_writer + random_between(random_, 0, 19),
                    .bucket = static_cast<std::uint32_t>(20260101 + random_between(random_, 0, 27)),
                    .value = random_between(random_, low_value, 1000)};
    };
    const std::uint64_t dice = random_between(random_, 0, 9);
    if (dice < 5) return {.kind = Kind::increment, .items = {item(1)}};
    if (dice < 6) return {.kind = Kind::decrement, .items = {item(1)}};
    const Kind kind = dice < 9 ? Kind::batch_add : Kind::batch_set;
    Request request{.kind = kind, .items = {}};
    const std::uint64_t size = random_between(random_, 1, 20);
    for (std::uint64_t i = 0; i < size; ++i) request.items.push_back(item(kind == Kind::batch_add ? 1 : 0));
    if (kind == Kind::batch_add) {
        request.items.push_back(item(1));
        request.items.back().key = shared_key;
    }
    return request;
}

std::string Writer::encode(const Request& request) const {
    if (request.kind == Kind::increment || request.kind == Kind::decrement) {
        const Item& item = request.items.front();
        return test::request(
            request.kind == Kind::increment ? "counter.increment" : "counter.decrement",
            {{"series", series_}, {"key", item.key}, {"bucket", item.bucket}, {"value", item.value}});
    }
    json::array items;
    for (const Item& item : request.items) items.push_back(json::array{item.key, item.bucket, item.value});
    return test::request(request.kind == Kind::batch_add ? "series.batch_add" : "series.batch_set",
                         {{"series", series_}, {"items", items}});
}

std::string Writer::expected_response(const Request& request) const {
    std::uint64_t total = 0;
    for (const Item& item : request.items) total += item.value;
    switch (request.kind) {
        case Kind::batch_add:
            return json::serialize(json::object{{"applied", request.items.size()}, {"total", total}});
        case Kind::batch_set: return json::serialize(json::object{{"applied", request.items.size()}});
        default: return std::to_string(total);
    }
}

void Writer::apply(const Request& request, Points& points) {
    for (const Item& item : request.items) {
        const Point point{item.key, item.bucket};
        std::uint64_t& value = points[point];
        switch (request.kind) {
            case Kind::increment:
            case Kind::batch_add: value += item.value; break;
            case Kind::decrement: value -= std::min(value, item.value); break;
            case Kind::batch_set: value = item.value; break;
        }
        if (value == 0) points.erase(point);
    }
}

void Writer::run(std::uint16_t port, std::size_t window, std::atomic<std::uint64_t>& acknowledged,
                 const std::atomic<bool>& stop) {
    try {
        Client client(port);
        while (!stop || acknowledged_ < requests_.size()) {
            // Several requests in one write, as long as the window has room.
            std::string bytes;
            while (!stop && requests_.size() - acknowledged_ < window) {
                requests_.push_back(make_request());
                bytes += encode(requests_.back()) + '\n';
            }
            client.send(bytes);
            if (acknowledged_ == requests_.size()) continue;
            const json::value reply = client.receive();
            const Request& answered = requests_[acknowledged_];
            if (member(reply, "response") != parse_json(expected_response(answered))) {
                throw std::runtime_error(encode(answered) + " was answered " + json::serialize(reply));
            }
            ++acknowledged_;
            ++acknowledged;
        }
    } catch (const ConnectionClosed&) {   // NOLINT(bugprone-empty-catch): the crash that is expected
    } catch (const std::system_error&) {  // NOLINT(bugprone-empty-catch): the same, before it could connect
    } catch (const std::exception& error) {
        problem_ = "writer " + std::to_string(number_) + ": " + error.what();
    }
}

Points Writer::own_points(const Points& all) const {
    Points own;
    std::ranges::copy_if(all, std::inserter(own, own.end()),
                         [&](const auto& entry) { return owns(entry.first.first); });
    return own;
}

std::string Writer::settle(const Points& found, Points& shared) {
    const Points wanted = own_points(found);
    std::size_t count = 0;
    for (; count < acknowledged_; ++count) apply(requests_[count], points_);
    while (own_points(points_) != wanted && count < requests_.size()) apply(requests_[count++], points_);
    if (own_points(points_) != wanted) {
        return "writer " + std::to_string(number_) +
               ": the daemon holds the effect of no number of requests from " +
               std::to_string(acknowledged_) + " (acknowledged) to " + std::to_string(requests_.size()) +
               " (sent)";
    }
    for (const auto& [point, value] : points_) {
        if (point.first == shared_key) shared[point] += value;
    }
    requests_.clear();
    acknowledged_ = 0;
    return {};
}

}  // namespace karma::test
