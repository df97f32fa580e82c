# Connects to each address in the arguments. Exits with 0 if all accept, with 1 if one refuses or does not answer in 3 s.
# An argument is the port and the IPv4 address in network byte order: 12 letters, `a` for 0 to `p` for 15.
.intel_syntax noprefix
.globl _start
_start:
    lea r12, [rsp+16]               # &argv[1]
next:
    mov rsi, [r12]
    add r12, 8
    xor edi, edi                    # exit code 0
    test rsi, rsi
    jz exit
    sub rsp, 16                     # struct sockaddr_in
    mov word ptr [rsp], 2           # AF_INET
    lea rdi, [rsp+2]
    mov ecx, 6
pair:
    lodsb
    sub al, 'a'
    shl al, 4
    mov dl, al
    lodsb
    sub al, 'a'
    or al, dl
    stosb
    loop pair
    mov eax, 41                     # socket(AF_INET, SOCK_STREAM, 0)
    mov edi, 2
    mov esi, 1
    xor edx, edx
    syscall
    mov r13, rax
    push 0                          # struct timeval: 3 s
    push 3
    mov eax, 54                     # setsockopt(socket, SOL_SOCKET, SO_SNDTIMEO, timeval, 16)
    mov rdi, r13
    mov esi, 1
    mov edx, 21
    mov r10, rsp
    mov r8d, 16
    syscall
    add rsp, 16
    mov eax, 42                     # connect(socket, address, 16)
    mov rdi, r13
    mov rsi, rsp
    mov edx, 16
    syscall
    test eax, eax
    jz next
    mov edi, 1                      # exit code 1
exit:
    mov eax, 60                     # exit
    syscall
