<?php
// Answers a POST with what it received: the nonce of X-Stratus-Load (or ?nonce=), the size and the SHA-256 of the body.
// For the load client, which compares all three with what it sent.

$release = require __DIR__ . '/lib/tpl/dokuwiki/release.php';

if ($_SERVER['REQUEST_METHOD'] !== 'POST') {
    http_response_code(405);
    header('Allow: POST');
    exit;
}

$body = fopen('php://input', 'rb');
$hash = hash_init('sha256');
$size = hash_update_stream($hash, $body);
$sum = hash_final($hash);

$nonce = $_SERVER['HTTP_X_STRATUS_LOAD'] ?? $_GET['nonce'] ?? '';
header('Content-Type: application/json');
header('Cache-Control: no-store');
header("X-Stratus-Body-Sha256: $sum");
echo json_encode([
    'nonce' => is_string($nonce) ? $nonce : '',
    'size' => $size,
    'sha256' => $sum,
    'release' => $release['number'],
]), "\n";
