// Main program of the simulated board: Verilator's model under cocotb, with the clock made here.
//
// cocotb's own main leaves the clock to a timed callback at each edge. Here the clock runs in a bare loop, and VPI
// callbacks (Python) get their turn only when the board asks for attention or a timer of cocotb is due.

#include <cstdint>
#include <cstring>
#include <memory>

#include "Vboard.h"
#include "verilated.h"
#include "verilated_vpi.h"
#if VM_TRACE_VCD
#include "verilated_vcd_c.h"
#endif

extern "C" void vlog_startup_routines_bootstrap();  // of libcocotbvpi_verilator

namespace {

constexpr uint64_t HALF_PERIOD = 500;  // ns: CLOCK in build.py

// Run value-change callbacks until there are no more changes.
void call_value_callbacks() {
    while (VerilatedVpi::callValueCbs()) {
    }
}

class Board {
public:
    explicit Board(const char* trace_file) : m_context{Verilated::threadContextp()}, m_model{new Vboard{m_context, ""}} {
#if VM_TRACE_VCD
        m_context->traceEverOn(true);
        if (trace_file) {
            m_trace.reset(new VerilatedVcdC);
            m_model->trace(m_trace.get(), 99);
            m_trace->open(trace_file);
        }
#endif
    }

    ~Board() { m_model->final(); }

    // Let what Python wrote take effect, and Python react to it, until nothing changes at this instant.
    void settle() {
        do {
            do {
                m_model->eval();
                VerilatedVpi::clearEvalNeeded();
                VerilatedVpi::doInertialPuts();
                call_value_callbacks();
            } while (VerilatedVpi::evalNeeded());
            VerilatedVpi::callCbs(cbReadWriteSynch);
            VerilatedVpi::doInertialPuts();
            call_value_callbacks();
        } while (VerilatedVpi::evalNeeded());
        VerilatedVpi::callCbs(cbReadOnlySynch);
    }

    // Run the clock until `attention` changes or `deadline` (ns) is reached.
    void run(uint64_t deadline) {
        const auto attention = m_model->attention;
        do {
            half_period(1);
            half_period(0);
        } while (m_model->attention == attention && m_context->time() < deadline);
    }

private:
    void half_period(uint8_t level) {
        m_context->timeInc(HALF_PERIOD);
        m_model->clk = level;
        m_model->eval();
#if VM_TRACE_VCD
        if (m_trace) m_trace->dump(m_context->time());
#endif
    }

    VerilatedContext* const m_context;
    const std::unique_ptr<Vboard> m_model;
#if VM_TRACE_VCD
    std::unique_ptr<VerilatedVcdC> m_trace;  // destroyed, and with that closed, before the model
#endif
};

}  // namespace

int main(int argc, char** argv) {
    Verilated::commandArgs(argc, argv);
    Verilated::fatalOnVpiError(false);  // cocotb asks for more than Verilator has
    Board board{argc > 1 ? argv[1] : nullptr};

    vlog_startup_routines_bootstrap();
    VerilatedVpi::callCbs(cbStartOfSimulation);
    call_value_callbacks();
    while (true) {
        board.settle();
        if (Verilated::gotFinish()) break;
        board.run(VerilatedVpi::cbNextDeadline());
        VerilatedVpi::callCbs(cbNextSimTime);
        call_value_callbacks();
        VerilatedVpi::callTimedCbs();
        call_value_callbacks();
    }
    VerilatedVpi::callCbs(cbEndOfSimulation);
    return 0;
}
