#define DOCTEST_CONFIG_IMPLEMENT_WITH_MAIN
#include <string>

#include <doctest/doctest.h>

#include "tests/support/failure.h"

namespace {

// Tells the helpers of tests/support when a test case fails, so that they show what explains it.
struct FailureListener : doctest::IReporter {
    explicit FailureListener(const doctest::ContextOptions& /*options*/) {
        karma::test::set_fail_case([](const std::string& text) { FAIL_CHECK(text); });
    }

    void report_query(const doctest::QueryData& /*query*/) override {}
    void test_run_start() override {}
    void test_run_end(const doctest::TestRunStats& /*stats*/) override {}
    void test_case_start(const doctest::TestCaseData& /*test*/) override {
        karma::test::set_current_case_failed(false);
    }
    void test_case_reenter(const doctest::TestCaseData& /*test*/) override {}
    void test_case_end(const doctest::CurrentTestCaseStats& /*stats*/) override {}
    void test_case_exception(const doctest::TestCaseException& /*exception*/) override {}
    void subcase_start(const doctest::SubcaseSignature& /*subcase*/) override {}
    void subcase_end() override {}
    void log_assert(const doctest::AssertData& assertion) override {
        if (assertion.m_failed) karma::test::set_current_case_failed(true);
    }
    void log_message(const doctest::MessageData& message) override {
        if (message.m_severity != doctest::assertType::is_warn) karma::test::set_current_case_failed(true);
    }
    void test_case_skipped(const doctest::TestCaseData& /*test*/) override {}
};

}  // namespace

REGISTER_LISTENER("failure", 1, FailureListener);
