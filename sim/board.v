// The simulated board: the device between two mailboxes that the bench fills and empties in bulk.
//
// Simulation only. The bench (bench.py) is woken when `attention` rises, and ends every visit by flipping `turn`:
// by then it has taken what is in the outbox and, if it says `refill`, has put `inbox_count` new bytes into the inbox.
// Until it flips `turn` no simulated time passes, so nothing can be lost between its looking and its writing.
module board #(
    parameter CAPACITY = 2048,  // bytes of each mailbox
    parameter PAUSE    = 256,   // cycles without a byte after which the outbox is handed over
    parameter SETTLE   = 16384, // cycles without a byte or a run after which the device counts as idle: more than
                                // it takes for the longest request (1024 bytes of payload, or a CHECK of the host's)
    parameter GLANCE   = 2048,  // cycles after which the bench is woken anyway, to see what the host has to say,
    parameter PATROL   = 131072 // and during a run, when the host can only vanish
) (
    input  wire clk,
    output wire attention /*verilator public_flat_rd*/
);
    // The bench's side: registers, as Verilator copies a port of the top that is public on every evaluation.
    reg                  turn         /*verilator public_flat_rw*/ = 0;
    reg                  refill       /*verilator public_flat_rw*/ = 0;
    reg                  more         /*verilator public_flat_rw*/ = 0;  // the bench holds bytes for a next refill
    reg [8*CAPACITY-1:0] inbox        /*verilator public_flat_rw*/;
    reg [15:0]           inbox_count  /*verilator public_flat_rw*/ = 0;
    reg [8*CAPACITY-1:0] outbox       /*verilator public_flat_rd*/;
    reg [15:0]           outbox_count /*verilator public_flat_rd*/ = 0;
    wire                 exhausted    /*verilator public_flat_rd*/;  // all of the inbox is taken
    wire                 idle         /*verilator public_flat_rd*/;  // time may stand still

    reg        turn_seen = 0;
    reg [15:0] taken = 0;
    reg [31:0] quiet = 0;  // cycles since the last byte
    reg [31:0] rest = 0;   // cycles since the last byte or run
    reg [31:0] age = 0;    // cycles since the bench's last visit

    wire       visited = turn != turn_seen;
    wire       busy;
    wire       rx_ready, tx_valid;
    wire [7:0] tx_payload;
    wire       rx_valid = !visited && !exhausted;
    wire       tx_ready = !visited && outbox_count != CAPACITY;
    wire       moved = (rx_valid && rx_ready) || (tx_valid && tx_ready);

    assign exhausted = taken == inbox_count;
    assign idle = exhausted && outbox_count == 0 && rest >= SETTLE;
    assign attention = !visited && (
        (exhausted && more) || outbox_count == CAPACITY || (outbox_count != 0 && quiet >= PAUSE)
        || idle || age >= (busy ? PATROL : GLANCE));

    device device (
        .clk(clk), .rst(1'b0), .busy(busy), .saturated(), .link_error(),
        .rx__payload(inbox[8*taken[10:0] +: 8]), .rx__valid(rx_valid), .rx__ready(rx_ready),
        .tx__payload(tx_payload), .tx__valid(tx_valid), .tx__ready(tx_ready)
    );

    always @(posedge clk) begin
        turn_seen <= turn;
        age <= visited ? 0 : age + 1;
        quiet <= moved ? 0 : quiet + 1;
        rest <= moved || busy ? 0 : rest + 1;
        if (visited) begin
            outbox_count <= 0;
            if (refill) taken <= 0;
        end
        else begin
            if (rx_valid && rx_ready) taken <= taken + 1;
            if (tx_valid && tx_ready) outbox_count <= outbox_count + 1;
        end
    end

    // Blocking on purpose: nothing in the design reads the outbox, and a non-blocking write would make Verilator copy
    // all of it on every clock edge.
    always @(posedge clk)
        if (tx_valid && tx_ready) outbox[8*outbox_count[10:0] +: 8] = tx_payload;
endmodule
