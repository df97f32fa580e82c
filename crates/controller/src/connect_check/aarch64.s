// Connects to each address in the arguments. Exits with 0 if all accept, with 1 if one refuses or does not answer in 3 s.
// An argument is the port and the IPv4 address in network byte order: 12 letters, `a` for 0 to `p` for 15.
.globl _start
_start:
    add x19, sp, #16                // &argv[1]
next:
    ldr x1, [x19], #8
    cbz x1, done
    sub sp, sp, #16                 // struct sockaddr_in
    mov w2, #2                      // AF_INET
    strh w2, [sp]
    add x3, sp, #2
    mov w4, #6
byte:
    ldrb w5, [x1], #1
    ldrb w6, [x1], #1
    sub w5, w5, #97
    sub w6, w6, #97
    orr w5, w6, w5, lsl #4
    strb w5, [x3], #1
    subs w4, w4, #1
    b.ne byte
    mov x8, #198                    // socket(AF_INET, SOCK_STREAM, 0)
    mov x0, #2
    mov x1, #1
    mov x2, #0
    svc #0
    mov x20, x0
    mov x2, #3                      // struct timeval: 3 s
    stp x2, xzr, [sp, #-16]!
    mov x8, #208                    // setsockopt(socket, SOL_SOCKET, SO_SNDTIMEO, timeval, 16)
    mov x0, x20
    mov x1, #1
    mov x2, #21
    mov x3, sp
    mov x4, #16
    svc #0
    add sp, sp, #16
    mov x8, #203                    // connect(socket, address, 16)
    mov x0, x20
    mov x1, sp
    mov x2, #16
    svc #0
    cbz x0, next
    mov x0, #1                      // exit code 1
    b exit
done:
    mov x0, #0                      // exit code 0
exit:
    mov x8, #93                     // exit
    svc #0
