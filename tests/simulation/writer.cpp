#include "tests/simulation/writer.h"

#include "net/client_request.h"
#include "tests/simulation/noise.h"

namespace karma::test {
namespace {

struct Step {
    std::uint64_t write = 0;  // 0: something else
    bool has_key = false;
};

bool is_success(const SimulatedLines::Reply& reply) { return reply && reply->at("success").as_bool(); }

}  // namespace

std::string SimulatedWriter::line_of(std::uint64_t write, bool has_key) const {
    boost::json::object fields{
        {"series", Chronicle::series}, {"key", write}, {"bucket", 20260601}, {"value", 1}};
    if (has_key) {
        fields["idempotency_key"] = "write-" + std::to_string(write);
    }
    return net::request_line("counter.increment", "", std::move(fields));
}

void SimulatedWriter::run(const std::function<bool()>& is_over) {
    Scheduler& scheduler = network_.scheduler();
    while (!is_over() && !view_.is_over()) {
        std::vector<Step> steps;
        std::vector<std::string> lines;
        for (std::uint64_t left = scheduler.between(1, 4); left > 0; --left) {
            if (scheduler.one_in(5)) {
                Noise noise = make_noise(scheduler);
                steps.push_back({});
                lines.push_back(net::request_line(noise.op, "", std::move(noise.fields)));
                continue;
            }
            steps.push_back({view_.next_write(), scheduler.one_in(2)});
            lines.push_back(line_of(steps.back().write, steps.back().has_key));
        }
        for (const std::uint64_t write : std::exchange(pending_, {})) {
            steps.push_back({write, true});
            lines.push_back(line_of(write, true));
        }
        if (!acknowledged_.empty() && scheduler.one_in(3)) {
            steps.push_back({acknowledged_[scheduler.between(0, acknowledged_.size() - 1)], true});
            lines.push_back(line_of(steps.back().write, true));
        }
        const std::string node = node_.empty() || scheduler.one_in(6) ? view_.any_node() : node_;
        const std::vector<SimulatedLines::Reply> replies = lines_.ask_all(node, lines);
        node_.clear();
        for (std::size_t i = 0; i < steps.size(); ++i) {
            const auto& [write, has_key] = steps[i];
            if (write == 0) {
                continue;
            }
            if (is_success(replies[i])) {
                node_ = node;
                view_.acknowledged(write, node, lines_.came_at()[i]);
                if (has_key) {
                    acknowledged_.push_back(write);
                }
            } else if (has_key) {
                pending_.push_back(write);
            }
        }
        scheduler.sleep(std::chrono::microseconds(scheduler.between(0, node_.empty() ? 300'000 : 120'000)));
    }
    lines_.close();
}

void SimulatedWriter::send_again(const std::string& node) {
    for (const std::uint64_t write : acknowledged_) {
        lines_.ask_all(node, {line_of(write, true)});
    }
    lines_.close();
}

}  // namespace karma::test
