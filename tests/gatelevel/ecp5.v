// The two primitives of the ECP5 that yosys maps to but ships no model of: its own cells_sim.v has them as black boxes.
//
// After the vendor's documents and yosys' techlibs/lattice/brams_map_16kd.v and dsp_map_18x18.v. Only what yosys makes
// use of is here; anything else stops the simulation. Where the vendor leaves open what is read, in the cycle in which
// the other port writes the same byte, the complement of the old data is: a design that relies on either is found out.

module MULT18X18D (
    input A17, A16, A15, A14, A13, A12, A11, A10, A9, A8, A7, A6, A5, A4, A3, A2, A1, A0,
    input B17, B16, B15, B14, B13, B12, B11, B10, B9, B8, B7, B6, B5, B4, B3, B2, B1, B0,
    input C17, C16, C15, C14, C13, C12, C11, C10, C9, C8, C7, C6, C5, C4, C3, C2, C1, C0,
    input SIGNEDA, SIGNEDB, SOURCEA, SOURCEB, CLK0, CE0, CE1, CE2, CE3,
    output P35, P34, P33, P32, P31, P30, P29, P28, P27, P26, P25, P24, P23, P22, P21, P20, P19, P18,
    output P17, P16, P15, P14, P13, P12, P11, P10, P9, P8, P7, P6, P5, P4, P3, P2, P1, P0
);
    parameter REG_INPUTA_CLK = "NONE", REG_INPUTB_CLK = "NONE", REG_PIPELINE_CLK = "NONE", REG_OUTPUT_CLK = "NONE";
    parameter REG_OUTPUT_CE = "CE0", GSR = "ENABLED";

    wire [17:0] a = {A17, A16, A15, A14, A13, A12, A11, A10, A9, A8, A7, A6, A5, A4, A3, A2, A1, A0};
    wire [17:0] b = {B17, B16, B15, B14, B13, B12, B11, B10, B9, B8, B7, B6, B5, B4, B3, B2, B1, B0};
    wire signed [35:0] wide_a = $signed({{18{SIGNEDA && A17}}, a});
    wire signed [35:0] wide_b = $signed({{18{SIGNEDB && B17}}, b});
    assign {P35, P34, P33, P32, P31, P30, P29, P28, P27, P26, P25, P24, P23, P22, P21, P20, P19, P18,
            P17, P16, P15, P14, P13, P12, P11, P10, P9, P8, P7, P6, P5, P4, P3, P2, P1, P0} =
        REG_OUTPUT_CLK == "NONE" ? wide_a * wide_b : held;

    reg [35:0] held = 0;
    always @(posedge CLK0) if (CE0 && CE1 && CE2 && CE3) held <= wide_a * wide_b;

    initial
        if (REG_INPUTA_CLK != "NONE" || REG_INPUTB_CLK != "NONE" || REG_PIPELINE_CLK != "NONE"
                || !(REG_OUTPUT_CLK == "NONE" || REG_OUTPUT_CLK == "CLK0") || SOURCEA || SOURCEB)
            $fatal(1, "MULT18X18D: only the multiplier and the register behind it are modelled");
endmodule

module DP16KD (
    input DIA17, DIA16, DIA15, DIA14, DIA13, DIA12, DIA11, DIA10, DIA9, DIA8, DIA7, DIA6, DIA5, DIA4, DIA3, DIA2, DIA1,
    input DIA0, ADA13, ADA12, ADA11, ADA10, ADA9, ADA8, ADA7, ADA6, ADA5, ADA4, ADA3, ADA2, ADA1, ADA0,
    input CEA, OCEA, CLKA, WEA, RSTA, CSA2, CSA1, CSA0,
    output DOA17, DOA16, DOA15, DOA14, DOA13, DOA12, DOA11, DOA10, DOA9, DOA8, DOA7, DOA6, DOA5, DOA4, DOA3, DOA2, DOA1,
    output DOA0,
    input DIB17, DIB16, DIB15, DIB14, DIB13, DIB12, DIB11, DIB10, DIB9, DIB8, DIB7, DIB6, DIB5, DIB4, DIB3, DIB2, DIB1,
    input DIB0, ADB13, ADB12, ADB11, ADB10, ADB9, ADB8, ADB7, ADB6, ADB5, ADB4, ADB3, ADB2, ADB1, ADB0,
    input CEB, OCEB, CLKB, WEB, RSTB, CSB2, CSB1, CSB0,
    output DOB17, DOB16, DOB15, DOB14, DOB13, DOB12, DOB11, DOB10, DOB9, DOB8, DOB7, DOB6, DOB5, DOB4, DOB3, DOB2, DOB1,
    output DOB0
);
    parameter DATA_WIDTH_A = 18, DATA_WIDTH_B = 18;
    parameter REGMODE_A = "NOREG", REGMODE_B = "NOREG", RESETMODE = "SYNC", ASYNC_RESET_RELEASE = "SYNC";
    parameter CSDECODE_A = "0b000", CSDECODE_B = "0b000", CLKAMUX = "CLKA", CLKBMUX = "CLKB", GSR = "AUTO";
    parameter WRITEMODE_A = "NORMAL", WRITEMODE_B = "NORMAL";
    INITVALS

    wire [17:0] dia = {DIA17, DIA16, DIA15, DIA14, DIA13, DIA12, DIA11, DIA10, DIA9, DIA8, DIA7, DIA6, DIA5, DIA4,
                       DIA3, DIA2, DIA1, DIA0};
    wire [17:0] dib = {DIB17, DIB16, DIB15, DIB14, DIB13, DIB12, DIB11, DIB10, DIB9, DIB8, DIB7, DIB6, DIB5, DIB4,
                       DIB3, DIB2, DIB1, DIB0};
    wire [13:0] ada = {ADA13, ADA12, ADA11, ADA10, ADA9, ADA8, ADA7, ADA6, ADA5, ADA4, ADA3, ADA2, ADA1, ADA0};
    wire [13:0] adb = {ADB13, ADB12, ADB11, ADB10, ADB9, ADB8, ADB7, ADB6, ADB5, ADB4, ADB3, ADB2, ADB1, ADB0};
    reg [17:0] doa = 0, dob = 0;
    assign {DOA17, DOA16, DOA15, DOA14, DOA13, DOA12, DOA11, DOA10, DOA9, DOA8, DOA7, DOA6, DOA5, DOA4, DOA3, DOA2, DOA1,
            DOA0} = doa;
    assign {DOB17, DOB16, DOB15, DOB14, DOB13, DOB12, DOB11, DOB10, DOB9, DOB8, DOB7, DOB6, DOB5, DOB4, DOB3, DOB2, DOB1,
            DOB0} = dob;

    // 2048 bytes of nine bits. A port of 18 bits reaches two, one of 36 bits four: its low half is on the A pins.
    reg [8:0] bytes [0:2047];
    wire [35:0] data = {dib, dia};

    function automatic [10:0] place(input integer width, input [13:0] address, input integer index);
        place = width == 36 ? {address[13:5], 2'(index)} : width == 18 ? {address[13:4], 1'(index)} : address[13:3];
    endfunction

    // What port A writes in this cycle, as seen from port B.
    function automatic written(input [10:0] byte_place);
        written = 0;
        for (integer index = 0; index < DATA_WIDTH_A / 9; index = index + 1)
            if (CEA && WEA && (DATA_WIDTH_A == 9 || ada[index]) && byte_place == place(DATA_WIDTH_A, ada, index))
                written = 1;
    endfunction

    function automatic [8:0] seen(input [10:0] byte_place);
        seen = written(byte_place) ? ~bytes[byte_place] : bytes[byte_place];
    endfunction

    always @(posedge CLKA) begin
        if (CEA && WEA)
            for (integer index = 0; index < DATA_WIDTH_A / 9; index = index + 1)
                if (DATA_WIDTH_A == 9 || ada[index])
                    bytes[place(DATA_WIDTH_A, ada, index)] <= data[9*index +: 9];
        if (CEB)
            if (DATA_WIDTH_B == 36) begin
                doa <= {seen(place(36, adb, 1)), seen(place(36, adb, 0))};
                dob <= {seen(place(36, adb, 3)), seen(place(36, adb, 2))};
            end
            else if (DATA_WIDTH_B == 18) dob <= {seen(place(18, adb, 1)), seen(place(18, adb, 0))};
            else dob <= {9'b0, seen(place(9, adb, 0))};
        if (WEB || RSTA || RSTB || CLKA != CLKB)
            $fatal(1, "DP16KD: only a writing port A and a reading port B, on one clock, are modelled");
    end

    initial
        if (REGMODE_A != "NOREG" || REGMODE_B != "NOREG" || CLKAMUX != "CLKA" || CLKBMUX != "CLKB"
                || !(DATA_WIDTH_A == 9 || DATA_WIDTH_A == 18 || DATA_WIDTH_A == 36)
                || !(DATA_WIDTH_B == 9 || DATA_WIDTH_B == 18 || DATA_WIDTH_B == 36) || NONZERO)
            $fatal(1, "DP16KD: this mode, or a content to begin with, is not modelled");
endmodule
