#pragma once

#include <chrono>

#include "engine/scan.h"

namespace karma::net {

/// A deadline at `limit` after `begin`; with a limit of 0 it never comes.
class TimeLimit final : public Deadline {
public:
    TimeLimit(std::chrono::milliseconds limit, std::chrono::steady_clock::time_point begin)
        : limit_(limit), end_(begin + limit) {}

protected:
    bool expired() const override { return limit_.count() != 0 && std::chrono::steady_clock::now() >= end_; }

private:
    std::chrono::milliseconds limit_;
    std::chrono::steady_clock::time_point end_;
};

}  // namespace karma::net
