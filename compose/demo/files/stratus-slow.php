<?php
// Burns a CPU for ?ms= milliseconds (60 s at most). Not sleep(): a signal to PHP-FPM cuts a sleep short.

$release = require __DIR__ . '/lib/tpl/dokuwiki/release.php';

$ms = filter_var($_GET['ms'] ?? '100', FILTER_VALIDATE_INT, ['options' => ['min_range' => 0, 'max_range' => 60000]]);
if ($ms === false) {
    http_response_code(400);
    exit("ms is a whole number from 0 to 60000\n");
}
set_time_limit(90);

$start = hrtime(true);
$rounds = 0;
$state = '';
while (hrtime(true) - $start < $ms * 1_000_000) {
    $state = hash('sha256', $state . $rounds, true);
    $rounds++;
}

header('Content-Type: application/json');
header('Cache-Control: no-store');
echo json_encode(['ms' => $ms, 'rounds' => $rounds, 'release' => $release['number']]), "\n";
