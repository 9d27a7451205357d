package peer;

import com.sun.management.OperatingSystemMXBean;
import java.lang.management.ManagementFactory;
import java.net.InetAddress;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.LocalDateTime;
import java.time.ZoneOffset;
import java.util.ArrayList;
import java.util.HexFormat;
import java.util.List;
import java.util.concurrent.atomic.AtomicInteger;
import java.util.concurrent.atomic.AtomicReference;
import org.openmuc.jdlms.AccessResultCode;
import org.openmuc.jdlms.AttributeAddress;
import org.openmuc.jdlms.AuthenticationMechanism;
import org.openmuc.jdlms.DlmsConnection;
import org.openmuc.jdlms.GetResult;
import org.openmuc.jdlms.SecuritySuite;
import org.openmuc.jdlms.SecuritySuite.EncryptionMechanism;
import org.openmuc.jdlms.SecuritySuite.SecurityPolicy;
import org.openmuc.jdlms.SelectiveAccessDescription;
import org.openmuc.jdlms.TcpConnectionBuilder;
import org.openmuc.jdlms.datatypes.CosemDateTime;
import org.openmuc.jdlms.datatypes.CosemDateTime.ClockStatus;
import org.openmuc.jdlms.datatypes.DataObject;

/**
 * Reads a load fleet: connect, associate, get a day's profile by range, compare each row with the truth, release, close.
 *
 * <p>Arguments: truth file, none|low|gmac, threads, sessions to warm up with, sessions to measure. It prints one line of JSON:
 * sessions, rows, failed, seconds and CPU seconds of the measured ones, and the version of Java.
 */
public final class Reader {
  private static final long PERIOD_MS = 900_000;
  private static final byte[] PASSWORD = "Passw0rd".getBytes();

  private record Meter(int port, byte[] ek, byte[] ak, long[] ends, long[] statuses, long[][] values) {}

  private static final long MISSING = Long.MIN_VALUE;
  private static final AtomicReference<String> failure = new AtomicReference<>("");
  private static List<Meter> fleet;
  private static String mode;
  private static AtomicInteger counter = new AtomicInteger(1);
  private static AttributeAddress profile;

  private Reader() {}

  public static void main(String[] args) throws Exception {
    fleet = read(Path.of(args[0]));
    mode = args[1];
    int threads = Integer.parseInt(args[2]);
    DataObject captured =
        DataObject.newStructureData(
            DataObject.newUInteger16Data(8),
            DataObject.newOctetStringData(new byte[] {0, 0, 1, 0, 0, (byte) 255}),
            DataObject.newInteger8Data((byte) 2),
            DataObject.newUInteger16Data(0));
    DataObject range =
        DataObject.newStructureData(captured, time(2, 0, 1), time(3, 0, 0), DataObject.newArrayData(List.of()));
    profile = new AttributeAddress(7, "1.0.99.1.0.255", 2, new SelectiveAccessDescription(1, range));
    run(threads, Integer.parseInt(args[3]));
    OperatingSystemMXBean system = (OperatingSystemMXBean) ManagementFactory.getOperatingSystemMXBean();
    long cpu = system.getProcessCpuTime();
    long began = System.nanoTime();
    int sessions = Integer.parseInt(args[4]);
    long[] result = run(threads, sessions);
    double seconds = (System.nanoTime() - began) / 1e9;
    double used = (system.getProcessCpuTime() - cpu) / 1e9;
    System.out.printf(
        java.util.Locale.ROOT,
        "{\"sessions\": %d, \"rows\": %d, \"failed\": %d, \"seconds\": %.6f, \"cpu_s\": %.6f, \"first_failure\": \"%s\","
            + " \"java\": \"%s\"}%n",
        result[0], result[1], sessions - result[0], seconds, used, failure.get().replace('"', '\''),
        System.getProperty("java.version"));
    System.exit(0);
  }

  private static DataObject time(int day, int hour, int second) {
    return DataObject.newOctetStringData(
        new CosemDateTime(2026, 3, day, day - 1, hour, 0, second, 0, -60, new ClockStatus[0]).encode());
  }

  /** Sessions that brought what they should, and their rows. */
  private static long[] run(int threads, int sessions) throws InterruptedException {
    AtomicInteger next = new AtomicInteger();
    AtomicInteger good = new AtomicInteger();
    AtomicInteger rows = new AtomicInteger();
    List<Thread> all = new ArrayList<>();
    for (int t = 0; t < threads; t++) {
      Thread thread =
          new Thread(
              () -> {
                for (int n = next.getAndIncrement(); n < sessions; n = next.getAndIncrement()) {
                  try {
                    rows.addAndGet(visit(fleet.get(n % fleet.size())));
                    good.incrementAndGet();
                  } catch (Exception e) {
                    failure.compareAndSet("", e.toString());
                  }
                }
              });
      all.add(thread);
      thread.start();
    }
    for (Thread thread : all) {
      thread.join();
    }
    return new long[] {good.get(), rows.get()};
  }

  private static int visit(Meter meter) throws Exception {
    TcpConnectionBuilder builder =
        new TcpConnectionBuilder(InetAddress.getLoopbackAddress())
            .useWrapper()
            .setPort(meter.port)
            .setLogicalDeviceId(1)
            .setClientId(mode.equals("none") ? 16 : 1)
            .setSecuritySuite(suite(meter));
    if (mode.equals("gmac")) {
      builder.setSystemTitle("JDL", 1).setChallengeLength(16).setFrameCounter(counter.getAndAdd(100));
    }
    try (DlmsConnection connection = builder.build()) {
      GetResult result = connection.get(profile);
      if (result.getResultCode() != AccessResultCode.SUCCESS) {
        throw new IllegalStateException(result.getResultCode().toString());
      }
      return compare(meter, result.getResultData());
    }
  }

  private static SecuritySuite suite(Meter meter) {
    SecuritySuite.SecuritySuiteBuilder builder = SecuritySuite.builder();
    if (mode.equals("gmac")) {
      return builder
          .setAuthenticationMechanism(AuthenticationMechanism.HLS5_GMAC)
          .setEncryptionMechanism(EncryptionMechanism.AES_GCM_128)
          .setSecurityPolicy(SecurityPolicy.AUTHENTICATED_AND_ENCRYPTED)
          .setGlobalUnicastEncryptionKey(meter.ek)
          .setAuthenticationKey(meter.ak)
          .build();
    }
    builder.setEncryptionMechanism(EncryptionMechanism.NONE).setSecurityPolicy(SecurityPolicy.NOTHING);
    return mode.equals("none")
        ? builder.setAuthenticationMechanism(AuthenticationMechanism.NONE).build()
        : builder.setAuthenticationMechanism(AuthenticationMechanism.LOW).setPassword(PASSWORD).build();
  }

  private static int compare(Meter meter, DataObject buffer) {
    List<DataObject> rows = buffer.getValue();
    if (rows.size() != meter.ends.length) {
      throw new IllegalStateException(rows.size() + " rows");
    }
    long end = 0;
    for (int i = 0; i < rows.size(); i++) {
      List<DataObject> cells = rows.get(i).getValue();
      end = cells.get(0).isNull() ? end + PERIOD_MS : millis(cells.get(0).getValue());
      if (end != meter.ends[i] || number(cells.get(1)) != meter.statuses[i]) {
        throw new IllegalStateException("time or status of row " + i);
      }
      for (int c = 0; c < 4; c++) {
        if (number(cells.get(c + 2)) != meter.values[c][i]) {
          throw new IllegalStateException("value " + c + " of row " + i);
        }
      }
    }
    return rows.size();
  }

  private static long number(DataObject cell) {
    return cell.isNull() ? MISSING : ((Number) cell.getValue()).longValue();
  }

  private static long millis(byte[] o) {
    int deviation = (short) ((o[9] & 0xFF) << 8 | o[10] & 0xFF);
    LocalDateTime local =
        LocalDateTime.of((o[0] & 0xFF) << 8 | o[1] & 0xFF, o[2], o[3], o[5], o[6], o[7]);
    return (local.toEpochSecond(ZoneOffset.UTC) + deviation * 60L) * 1000 + o[8] * 10L;
  }

  private static List<Meter> read(Path truth) throws Exception {
    List<Meter> meters = new ArrayList<>();
    for (String line : Files.readAllLines(truth)) {
      String[] parts = line.split(" \\| ");
      String[] head = parts[0].split(" ");
      int count = parts.length - 1;
      Meter meter =
          new Meter(
              Integer.parseInt(head[0]), HexFormat.of().parseHex(head[2]), HexFormat.of().parseHex(head[3]),
              new long[count], new long[count], new long[4][count]);
      for (int i = 0; i < count; i++) {
        String[] cells = parts[i + 1].split(",");
        meter.ends[i] = Long.parseLong(cells[0]);
        meter.statuses[i] = Long.parseLong(cells[1]);
        for (int c = 0; c < 4; c++) {
          meter.values[c][i] = cells[c + 2].equals("-") ? MISSING : Long.parseLong(cells[c + 2]);
        }
      }
      meters.add(meter);
    }
    return meters;
  }
}
